/** What crosses between a tool and a guest service, for guests without processes: guest/PROTOCOL.md. */
import { type Static, type TObject, type TProperties, Type } from 'typebox';
import { Value } from 'typebox/value';
import { type Account, USERS } from './accounts.js';
import type { ServiceCall } from './guest.js';

const MAX_REQUEST = 65_536;
const MAX_FRAME = 65_536;

/** A service refuses: a code, and for `conflict` a word for what is in the way. */
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

/** Serves one call: the reply that `handle` returns, or the refusal it throws. The exit code is 0: status is in band. */
export async function answer<P extends TProperties>(
  call: ServiceCall,
  shape: P,
  handle: (request: Static<TObject<P>>, body: Uint8Array, send: Respond) => Promise<object>,
): Promise<number> {
  const send: Respond = (kind, bytes) => {
    for (let start = 0; start < bytes.length; start += MAX_FRAME)
      call.stdout(frame(kind, bytes.subarray(start, start + MAX_FRAME)));
  };
  try {
    const { line, body } = await readRequest(call.stdin);
    const request: unknown = JSON.parse(line);
    const schema = Type.Object(shape, { additionalProperties: false });
    if (!Value.Check(schema, request)) throw new Refusal('invalid-request');
    call.stdout(frame('X', jsonOf(await handle(request as Static<TObject<P>>, body, send))));
  } catch (error) {
    const { code, problem } =
      error instanceof Refusal
        ? error
        : error instanceof SyntaxError
          ? new Refusal('invalid-request')
          : refusalOf(error);
    call.stdout(frame('R', jsonOf({ code, ...(problem !== undefined && { problem }) })));
  }
  return 0;
}

const ERRNO: Readonly<Record<string, string>> = {
  ENOENT: 'no-such-file',
  ENOTDIR: 'not-a-directory',
  EISDIR: 'is-a-directory',
  EEXIST: 'exists',
  ELOOP: 'link-loop',
};

/** The file system in memory names an errno at the beginning of its messages. */
function refusalOf(error: unknown): Refusal {
  const word = ERRNO[/^E[A-Z]+/.exec((error as Error).message)?.[0] ?? ''];
  if (word === undefined) throw error;
  return conflict(word);
}

/** The request line, and everything after it. */
async function readRequest(stream: AsyncIterable<Uint8Array>): Promise<{ line: string; body: Uint8Array }> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const newline = bytes.indexOf(0x0a);
  if (newline < 0 || newline >= MAX_REQUEST) throw new Refusal('invalid-request');
  return { line: bytes.subarray(0, newline).toString('utf8'), body: bytes.subarray(newline + 1) };
}

function frame(kind: 'O' | 'E' | 'X' | 'R', payload: Uint8Array): Uint8Array {
  const header = Buffer.alloc(5);
  header.write(kind, 'latin1');
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

const jsonOf = (value: object): Uint8Array => Buffer.from(JSON.stringify(value));

export function accountOf(user = 'user'): Account {
  const account = USERS[user];
  if (account === undefined) throw conflict('no-such-user');
  return account;
}
