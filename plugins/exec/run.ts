import {
  inject,
  injectable,
  type Port,
  portOf,
  type ToolContext,
  type ToolHandler,
} from '../../core/api/index.js';
import { run } from './services.js';

/** Bytes of each stream kept for the result; a flood beyond it is counted as truncated and dropped. */
const KEPT = 65_536;

interface Input {
  qube: string;
  command: string | string[];
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  stdin?: string;
  timeout?: number;
}

@injectable()
export class ExecRun implements ToolHandler {
  constructor(@inject(portOf(run)) private readonly run_: Port<typeof run>) {}

  async run(input: Input, { signal }: ToolContext) {
    const { qube, stdin, ...params } = input;
    const kept = { stdout: new Kept(), stderr: new Kept() };
    const result = await this.run_(qube, params, {
      stdin: new TextEncoder().encode(stdin ?? ''),
      signal,
      onOutput: (stream, bytes) => kept[stream].add(bytes),
    });
    return {
      ...result,
      stdout: kept.stdout.text(),
      stderr: kept.stderr.text(),
      truncated: kept.stdout.truncated || kept.stderr.truncated,
    };
  }
}

/** The beginning of a stream, bounded. */
class Kept {
  private readonly chunks: Uint8Array[] = [];
  private left = KEPT;
  truncated = false;

  add(bytes: Uint8Array): void {
    if (bytes.length > this.left) this.truncated = true;
    const taken = bytes.subarray(0, this.left);
    this.left -= taken.length;
    if (taken.length > 0) this.chunks.push(taken.slice());
  }

  text(): string {
    const decoder = new TextDecoder('utf-8');
    return this.chunks.map((chunk) => decoder.decode(chunk, { stream: true })).join('') + decoder.decode();
  }
}
