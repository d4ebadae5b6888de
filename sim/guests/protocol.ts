/** The protocol between a tool and a guest service (guest/PROTOCOL.md), for guests without processes. */
import { LIMITS } from '../../core/api/generated/limits.js';
import { Check, type Static, type TObject, type TProperties, Type } from '../../core/vendor/typebox.js';
import { type Account, USERS } from './accounts.js';
import type { ServiceCall } from './guest.js';

const HEADER = 5;

/** A refusal by a service: a code, and for `conflict` a word for the problem. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    readonly problem?: string,
  ) {
    super(problem ?? code);
  }
}

export const conflict = (problem: string): Refusal => new Refusal('conflict', problem);
export const User = Type.Optional(Type.String({ minLength: 1 }));
export const Path = Type.String({ minLength: 1, pattern: '^[^\\0]*$' });

export type Respond = (kind: 'O' | 'E', bytes: Uint8Array) => void;

/** Handles a call and returns the reply. `signal` is aborted when the caller disconnects. */
export type Handle<P extends TProperties> = (
  request: Static<TObject<P>>,
  body: Uint8Array,
  send: Respond,
  signal: AbortSignal,
  /** The request as the caller wrote it. */
  line: string,
) => Promise<object>;

/**
 * Serves one call: sends the reply that `handle` returns, or the refusal that it throws. The exit code is 0, because the status
 * is in band.
 */
export async function answer<P extends TProperties>(
  call: ServiceCall,
  shape: P,
  handle: Handle<P>,
): Promise<number> {
  const send: Respond = (kind, bytes) => {
    for (let start = 0; start < bytes.length; start += LIMITS.frame_bytes)
      call.stdout(frame(kind, bytes.subarray(start, start + LIMITS.frame_bytes)));
  };
  try {
    const input = new Incoming(call.stdin);
    const line = await input.line();
    const request: unknown = JSON.parse(line);
    const schema = Type.Object(shape, { additionalProperties: false });
    if (!Check(schema, request)) throw new Refusal('invalid-request');
    const body = await input.body();
    const signal = AbortSignal.any([call.signal, input.callerSignal()]);
    const reply = await handle(request as Static<TObject<P>>, body, send, signal, line);
    if (signal.aborted) return 1;
    call.stdout(frame('X', jsonOf(reply)));
  } catch (error) {
    if (error instanceof CallerGone) return 1;
    const { code, problem } =
      error instanceof Refusal
        ? error
        : error instanceof SyntaxError
          ? new Refusal('invalid-request')
          : refusalOf(error);
    call.stdout(refusalFrame(code, problem));
  }
  return 0;
}

const ERRNO: Readonly<Record<string, string>> = {
  ENOENT: 'no-such-file',
  ENOTDIR: 'not-a-directory',
  EISDIR: 'is-a-directory',
  EEXIST: 'exists',
  ELOOP: 'link-loop',
  EACCES: 'access-denied',
  ENOSPC: 'no-space',
};

/** Messages of the file system in memory begin with an errno name. */
function refusalOf(error: unknown): Refusal {
  const word = ERRNO[/^E[A-Z]+/.exec((error as Error).message)?.[0] ?? ''];
  if (word === undefined) throw error;
  return conflict(word);
}

class CallerGone extends Error {}

/**
 * The caller's bytes: a line, then frames of input, of which the last is empty. The caller's side stays open until it
 * disconnects.
 */
class Incoming {
  private readonly bytes: AsyncIterator<Uint8Array>;
  private pending: Buffer = Buffer.alloc(0);

  constructor(stdin: AsyncIterable<Uint8Array>) {
    this.bytes = stdin[Symbol.asyncIterator]();
  }

  async line(): Promise<string> {
    let newline = this.pending.indexOf(0x0a);
    for (; newline < 0; newline = this.pending.indexOf(0x0a))
      if (this.pending.length >= LIMITS.request_bytes || !(await this.more()))
        throw new Refusal('invalid-request');
    if (newline >= LIMITS.request_bytes) throw new Refusal('invalid-request');
    return this.taken(newline + 1).toString('utf8', 0, newline);
  }

  async body(): Promise<Uint8Array> {
    const payloads: Uint8Array[] = [];
    for (;;) {
      const header = await this.atLeast(HEADER);
      const length = header.readUInt32BE(1);
      if (header.toString('latin1', 0, 1) !== 'I' || length > LIMITS.frame_bytes)
        throw new Refusal('invalid-request');
      if (length === 0) return Buffer.concat(payloads);
      payloads.push(await this.atLeast(length));
    }
  }

  /** Aborted when the caller's side ends; bytes that arrive until then are ignored. */
  callerSignal(): AbortSignal {
    const gone = new AbortController();
    (async () => {
      while (await this.more()) this.pending = Buffer.alloc(0);
    })()
      .catch(() => {})
      .finally(() => gone.abort());
    return gone.signal;
  }

  private async atLeast(length: number): Promise<Buffer> {
    while (this.pending.length < length) if (!(await this.more())) throw new CallerGone();
    return this.taken(length);
  }

  private taken(length: number): Buffer {
    const taken = this.pending.subarray(0, length);
    this.pending = this.pending.subarray(length);
    return taken;
  }

  private async more(): Promise<boolean> {
    const { value, done } = await this.bytes.next();
    if (!done) this.pending = Buffer.concat([this.pending, value]);
    return !done;
  }
}

/** A call from the service's side: the line, and the frames of input. */
export function requestOf(request: object, stdin: Uint8Array = new Uint8Array()): Uint8Array {
  const frames: Uint8Array[] = [];
  for (let start = 0; start < stdin.length; start += LIMITS.frame_bytes)
    frames.push(frame('I', stdin.subarray(start, start + LIMITS.frame_bytes)));
  return Buffer.concat([jsonOf(request), Buffer.from('\n'), ...frames, frame('I', new Uint8Array())]);
}

function frame(kind: 'I' | 'O' | 'E' | 'X' | 'R', payload: Uint8Array): Uint8Array {
  const header = Buffer.alloc(HEADER);
  header.write(kind, 'latin1');
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

/** The last frame of a refused call. */
export const refusalFrame = (code: string, problem?: string): Uint8Array =>
  frame('R', jsonOf({ code, ...(problem !== undefined && { problem }) }));

const jsonOf = (value: object): Uint8Array => Buffer.from(JSON.stringify(value));

export function accountOf(user = 'user'): Account {
  const account = USERS[user];
  if (account === undefined) throw conflict('no-such-user');
  return account;
}
