import {
  decodeVisible,
  inject,
  injectable,
  invalidAt,
  LIMITS,
  type Port,
  portOf,
  type ToolContext,
  type ToolHandler,
  visible,
} from '../../core/api/index.js';
import { endOf, resultOf } from './result.js';
import { Runner } from './runner.js';
import { fileCopy, packageInstall } from './services.js';

/** Bytes of a stream of a package manager that a result shows. */
const MAX_SHOWN = 8192;
/** The same of what a copy says. */
const MAX_MESSAGE = 4096;

interface Copy {
  source: string;
  target: string;
  path: string;
  user?: string;
}

@injectable()
export class FileCopy implements ToolHandler {
  constructor(
    @inject(portOf(fileCopy)) private readonly copy: Port<typeof fileCopy>,
    @inject(Runner) private readonly runner: Runner,
  ) {}

  async run({ source, ...params }: Copy, context: ToolContext) {
    if (isRoot(params.path)) throw invalidAt('/path', 'must name a file or a directory, not /');
    const { record, outcome } = await this.runner.follow(source, context, (io) =>
      this.copy(source, { ...params, timeout: LIMITS.command_seconds }, io),
    );
    const name = 'name' in outcome ? String(outcome.name) : '';
    return {
      copied: outcome.exit === 0,
      // Where Qubes OS puts files from another qube.
      to: `QubesIncoming/${source}/${visible(name)}`,
      message: decodeVisible(endOf(record.stderr, MAX_MESSAGE)).text,
      untrusted: ['to', 'message'],
    };
  }
}

/** Whether an absolute path leads back to where it starts. */
function isRoot(path: string): boolean {
  if (!path.startsWith('/')) return false;
  const steps: string[] = [];
  for (const step of path.split('/'))
    if (step === '..') steps.pop();
    else if (step !== '' && step !== '.') steps.push(step);
  return steps.length === 0;
}

interface Install {
  qube: string;
  packages: string[];
  timeout?: number;
}

@injectable()
export class PackageInstall implements ToolHandler {
  constructor(
    @inject(portOf(packageInstall)) private readonly install: Port<typeof packageInstall>,
    @inject(Runner) private readonly runner: Runner,
  ) {}

  async run({ qube, timeout = LIMITS.default_install_seconds, packages }: Install, context: ToolContext) {
    const { record, outcome } = await this.runner.follow(qube, context, (io) =>
      this.install(qube, { packages, timeout }, io),
    );
    return resultOf(record, outcome, MAX_SHOWN);
  }
}
