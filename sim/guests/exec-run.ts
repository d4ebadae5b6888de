/** `qmcp.exec.Run` for guests without processes: guest/PROTOCOL.md, as guest/qmcp_guest speaks it in a real qube. */
import { type Static, Type } from 'typebox';
import { Value } from 'typebox/value';
import type { Guest, ServiceCall } from './guest.js';

const MAX_REQUEST = 65_536;
const MAX_FRAME = 65_536;
const DEFAULT_TIMEOUT = 60;

const Request = Type.Object(
  {
    command: Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String(), { minItems: 1 })]),
    cwd: Type.Optional(Type.String({ minLength: 1 })),
    env: Type.Optional(Type.Record(Type.String(), Type.String())),
    user: Type.Optional(Type.String({ minLength: 1 })),
    timeout: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600 })),
  },
  { additionalProperties: false },
);

export async function execRun(guest: Guest, call: ServiceCall): Promise<number> {
  const read = await readRequest(call.stdin);
  if (read === undefined) {
    call.stdout(frame('R', Buffer.from('{"code":"invalid-request"}')));
    return 0;
  }
  const { request, stdin } = read;
  const timeout = AbortSignal.timeout((request.timeout ?? DEFAULT_TIMEOUT) * 1000);
  const { command, cwd, env, user } = request;
  const result = await guest.run({
    command,
    user: user ?? 'user',
    stdin,
    signal: AbortSignal.any([timeout, call.signal]),
    ...(cwd !== undefined && { cwd }),
    ...(env !== undefined && { env }),
  });
  for (const piece of pieces(result.stdout)) call.stdout(frame('O', piece));
  for (const piece of pieces(result.stderr)) call.stdout(frame('E', piece));
  const last = result.aborted
    ? { exit: null, signal: 'SIGKILL', timed_out: timeout.aborted }
    : { exit: result.exit, signal: null, timed_out: false };
  call.stdout(frame('X', Buffer.from(JSON.stringify(last))));
  return 0;
}

/** The request line, and everything after it; undefined for what is not one. */
async function readRequest(
  stream: AsyncIterable<Uint8Array>,
): Promise<{ request: Static<typeof Request>; stdin: Uint8Array } | undefined> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  const newline = bytes.indexOf(0x0a);
  if (newline < 0 || newline >= MAX_REQUEST) return undefined;
  try {
    const request: unknown = JSON.parse(bytes.subarray(0, newline).toString('utf8'));
    return Value.Check(Request, request) ? { request, stdin: bytes.subarray(newline + 1) } : undefined;
  } catch {
    return undefined;
  }
}

function frame(kind: 'O' | 'E' | 'X' | 'R', payload: Uint8Array): Uint8Array {
  const header = Buffer.alloc(5);
  header.write(kind, 'latin1');
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}

function* pieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += MAX_FRAME)
    yield bytes.subarray(start, start + MAX_FRAME);
}
