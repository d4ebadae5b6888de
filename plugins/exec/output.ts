import {
  inject,
  injectable,
  LIMITS,
  type Port,
  portOf,
  type ReadContext,
  Refused,
  type Static,
  type ToolContext,
  type ToolHandler,
} from '../../core/api/index.js';
import { BoundedBuffer, completeLength, contentOf, type Encoding } from './bytes.js';
import { OutputStore } from './output-store.js';
import { output, stop } from './services.js';

/** The handle of a background command: the qube, and the command's name there. */
const JOB = /^([^:]+):([0-9a-f]{16})$/;
/** Bytes of a page of text, for a model, and of a page of base64, for a program. */
const PAGE = 16_384;
const MAX_PAGE = 262_144;

interface PageRequest {
  handle: string;
  stream?: 'stdout' | 'stderr';
  offset?: number;
  wait?: number;
  encoding?: Static<typeof Encoding>;
}

const isRunning = { running: true, exit: null, signal: null, timed_out: false };

/** Reads output that this server keeps, or that a qube keeps of a background command. Any other handle is `not-found`. */
@injectable()
export class OutputReader {
  constructor(
    @inject(portOf(output)) private readonly askGuest: Port<typeof output>,
    @inject(OutputStore) private readonly store: OutputStore,
  ) {}

  async read(
    { handle, stream = 'stdout', offset = 0, wait: patience = 0, encoding = 'text' }: PageRequest,
    { signal, session }: ReadContext,
  ): Promise<{ readonly bytes: Uint8Array; readonly state: State }> {
    const limit = encoding === 'text' ? PAGE : MAX_PAGE;
    const wait = Math.min(patience, LIMITS.output_wait_seconds);
    const record = this.store.find(handle, session);
    if (record !== undefined) {
      await record.until(() => record[stream].size > offset, wait, signal);
      const { size, printed } = record[stream];
      const state = record.outcome ? { running: false, ...record.outcome } : isRunning;
      return {
        bytes: record[stream].page(offset, limit),
        state: { ...state, size, dropped: printed - size },
      };
    }
    const [, qube, job] = JOB.exec(handle) ?? [];
    if (qube === undefined || job === undefined) throw new Refused('not-found');
    const bytes = new BoundedBuffer(limit);
    const state = await this.askGuest(
      qube,
      { job, stream, offset, limit, wait },
      { signal, timeout: 30 + wait, onOutput: (_stream, piece) => bytes.add(piece) },
    );
    if (bytes.overflow) throw new Refused('failed');
    return { bytes: bytes.all(), state };
  }
}

@injectable()
export class ExecOutput implements ToolHandler {
  constructor(@inject(OutputReader) private readonly reader: OutputReader) {}

  async run(page: PageRequest, context: ToolContext) {
    const { bytes, state } = await this.reader.read(page, context);
    return describePage(page.encoding ?? 'text', page.offset ?? 0, bytes, state);
  }
}

interface State {
  readonly running: boolean;
  readonly exit: number | null;
  readonly signal: string | null;
  readonly timed_out: boolean;
  readonly size: number;
  readonly dropped: number;
}

/** A page of output as a model gets it. */
export function describePage(
  encoding: Static<typeof Encoding>,
  offset: number,
  page: Uint8Array,
  state: State,
) {
  const atEnd = offset + page.length >= state.size;
  // What the next page completes is shown there.
  const complete = encoding === 'text' && !(atEnd && !state.running) ? completeLength(page) : page.length;
  const next = offset + complete;
  const { encoding: _encoding, ...content } = contentOf(page.subarray(0, complete), encoding);
  return {
    ...state,
    ...content,
    next: state.running || next < state.size ? next : null,
    untrusted: ['content'],
  };
}

@injectable()
export class ExecStop implements ToolHandler {
  constructor(
    @inject(portOf(stop)) private readonly stopJob: Port<typeof stop>,
    @inject(OutputStore) private readonly store: OutputStore,
  ) {}

  async run({ handle }: { handle: string }, { signal, session }: ToolContext) {
    const record = this.store.find(handle, session);
    if (record !== undefined) {
      record.stopping.abort();
      return { running: false, ...(await record.ended) };
    }
    const [, qube, job] = JOB.exec(handle) ?? [];
    if (qube === undefined || job === undefined) throw new Refused('not-found');
    return this.stopJob(qube, { job }, { signal, timeout: 30 });
  }
}
