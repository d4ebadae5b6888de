/** Keeps the output of commands in the server, within limits, to be read by handle, page by page. */
import type { Session } from '../../core/api/index.js';

type Stream = 'stdout' | 'stderr';

/** Bytes to keep of a stream: of its beginning, and of its end. */
const HEAD = 8 << 20;
const TAIL = 8192;
/** Bytes to keep in all; the oldest finished command is dropped first. */
const TOTAL = 64 << 20;

export interface Outcome {
  readonly exit: number | null;
  readonly signal: string | null;
  readonly timed_out: boolean;
}

/** One stream. Its memory does not depend on the size of the pieces in which the bytes came. */
export class StreamBuffer {
  /** Bytes received, kept or not. */
  printed = 0;
  /** Bytes that can be read. */
  size = 0;
  private head = new Uint8Array(0);
  private tail = new Uint8Array(0);

  constructor(private readonly limit: number) {}

  get held(): number {
    return this.head.length + this.tail.length;
  }

  add(bytes: Uint8Array): void {
    this.printed += bytes.length;
    const taken = bytes.subarray(0, Math.max(this.limit - this.size, 0));
    if (this.size + taken.length > this.head.length) {
      const grown = new Uint8Array(
        Math.min(Math.max(2 * this.head.length, this.size + taken.length, 1024), this.limit),
      );
      grown.set(this.head.subarray(0, this.size));
      this.head = grown;
    }
    this.head.set(taken, this.size);
    this.size += taken.length;
    if (taken.length === bytes.length) return;
    const rest = bytes.subarray(taken.length);
    const kept =
      rest.length >= TAIL
        ? new Uint8Array(0)
        : this.tail.subarray(Math.max(this.tail.length + rest.length - TAIL, 0));
    const both = new Uint8Array(kept.length + Math.min(rest.length, TAIL));
    both.set(kept);
    both.set(rest.subarray(Math.max(rest.length - TAIL, 0)), kept.length);
    this.tail = both;
  }

  page(offset: number, limit: number): Uint8Array {
    return this.head.subarray(Math.min(offset, this.size), Math.min(offset + limit, this.size));
  }

  /** The last bytes received, at most `limit` and at most TAIL. */
  last(limit: number): Uint8Array {
    const end =
      this.tail.length > 0 ? this.tail : this.head.subarray(Math.max(this.size - TAIL, 0), this.size);
    return end.subarray(Math.max(end.length - limit, 0));
  }
}

/** One foreground command and its output so far. */
export class CommandRecord {
  readonly stdout: StreamBuffer;
  readonly stderr: StreamBuffer;
  /** Aborted to end the command. */
  readonly stopping = new AbortController();
  /** Resolves when the command has ended in any way. */
  readonly ended: Promise<Outcome>;
  outcome: Outcome | undefined;
  private end!: (outcome: Outcome) => void;
  private readonly waiting = new Set<() => void>();

  constructor(
    readonly handle: string,
    limit: number,
  ) {
    this.stdout = new StreamBuffer(limit);
    this.stderr = new StreamBuffer(limit);
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  get isEmpty(): boolean {
    return this.stdout.printed + this.stderr.printed === 0;
  }

  get held(): number {
    return this.stdout.held + this.stderr.held;
  }

  add(stream: Stream, bytes: Uint8Array): void {
    this[stream].add(bytes);
    for (const look of this.waiting) look();
  }

  finish(outcome: Outcome): void {
    this.outcome = outcome;
    this.end(outcome);
    for (const look of this.waiting) look();
  }

  /** Waits until the condition holds, the command has ended, the time is over or the caller has gone. */
  async until(holds: () => boolean, seconds: number, signal: AbortSignal): Promise<void> {
    if (seconds === 0 || holds()) return;
    const over = AbortSignal.any([signal, AbortSignal.timeout(seconds * 1000)]);
    await new Promise<void>((resolve) => {
      const look = () => {
        if (!holds() && this.outcome === undefined && !over.aborted) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
      over.addEventListener('abort', look, { once: true });
      look();
    });
  }
}

/** Whom output belongs to when a call has no session. */
const EVERYBODY: Session = {};

/** The commands of one session. */
interface SessionRecords {
  readonly byHandle: Map<string, CommandRecord>;
  /** Handles are numbered in each session by itself, so that they say nothing about others. */
  count: number;
}

/** Output belongs to the session whose command it is: to any other, there is none. The limit in bytes is for all together. */
export class OutputStore {
  /** Of all sessions, the oldest first. */
  private readonly records = new Map<CommandRecord, SessionRecords>();
  private readonly sessions = new WeakMap<object, SessionRecords>();
  /** Bytes held by all records. */
  private held = 0;

  constructor(
    private readonly limits: { readonly stream: number; readonly total: number } = {
      stream: HEAD,
      total: TOTAL,
    },
  ) {}

  /** Opens a record for a new command. Its handle starts with the qube's name; a number is never used twice. */
  open(qube: string, session?: Session): CommandRecord {
    const own = this.recordsOf(session);
    own.count += 1;
    // Who shares a session finds output only by a handle that nobody can guess.
    const number = session?.isShared ? crypto.randomUUID().replaceAll('-', '').slice(0, 24) : own.count;
    const record = new CommandRecord(`${qube}:run${number}`, this.limits.stream);
    own.byHandle.set(record.handle, record);
    this.records.set(record, own);
    return record;
  }

  add(to: CommandRecord, stream: Stream, bytes: Uint8Array): void {
    const before = to.held;
    to.add(stream, bytes);
    if (this.records.has(to)) this.held += to.held - before;
    // A qube chooses the size of its pieces, so one piece must not cost a pass over all records.
    for (const record of this.records.keys()) {
      if (this.held <= this.limits.total) return;
      // A running command needs its handle to be stopped.
      if (record.outcome !== undefined) this.forget(record);
    }
  }

  find(handle: string, session?: Session): CommandRecord | undefined {
    return this.recordsOf(session).byHandle.get(handle);
  }

  /** The latest first; none of a session that several clients share. */
  latest(count: number, session?: Session): CommandRecord[] {
    if (session?.isShared) return [];
    return [...this.recordsOf(session).byHandle.values()].slice(-count).reverse();
  }

  forget(record: CommandRecord): void {
    this.records.get(record)?.byHandle.delete(record.handle);
    if (this.records.delete(record)) this.held -= record.held;
  }

  private recordsOf(session: Session = EVERYBODY): SessionRecords {
    let own = this.sessions.get(session);
    if (own === undefined) {
      own = { byHandle: new Map(), count: 0 };
      this.sessions.set(session, own);
    }
    return own;
  }
}
