/**
 * Receives a qube's calls: a socket for the qube, with the executable beside it. The socket identifies the caller, and no byte
 * on it can change that. Format: `TARGET NUL SERVICE NUL`, then frames of one type byte, four length bytes, and a payload. To
 * here: I, standard input, of which an empty one is the end. From here: A when the call was accepted, O and E for output, and X
 * with the exit code.
 */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { python } from '../python.js';
import { packageFile } from '../root.js';
import type { Qrexec } from './daemon.js';
import { Input } from './input.js';

/** The maximum bytes of target and service that qrexec can carry. */
const MAX_WORDS = 65_536;
const HEADER = 5;

export class Endpoint {
  private constructor(
    private readonly server: Server,
    private readonly open: Set<Socket>,
    /** The executable that a program in that qube runs. */
    readonly client: string,
  ) {}

  static async listen(qrexec: Qrexec, source: string, directory: string): Promise<Endpoint> {
    mkdirSync(directory, { recursive: true });
    const client = join(directory, 'qrexec-client-vm');
    const program = join(directory, 'client.py');
    copyFileSync(packageFile('sim/qrexec/client.py'), program);
    // Runs through sh: some paths are too long for a shebang line, or contain a space.
    const command = [python(), '-I', '-S', '-E', '-B', program].map(quoted).join(' ');
    writeFileSync(client, `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
    const open = new Set<Socket>();
    const server = createServer((socket) => {
      open.add(socket);
      socket.once('close', () => open.delete(socket));
      socket.on('error', () => socket.destroy());
      serve(qrexec, source, socket).catch(() => socket.destroy());
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(join(directory, 'socket'), resolve);
    });
    return new Endpoint(server, open, client);
  }

  async close(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

async function serve(qrexec: Qrexec, source: string, socket: Socket): Promise<void> {
  const hangUp = new AbortController();
  const bytes = socket[Symbol.asyncIterator]() as AsyncIterableIterator<Buffer>;
  const { target, service, rest } = await readWords(bytes);
  const input = new Input();
  const leave = () => {
    input.end();
    hangUp.abort();
  };
  socket.once('close', leave);
  // Read to its end even if the service does not read: the end of the connection is the end of the caller.
  receive(rest, bytes, input)
    .catch(() => {})
    .finally(leave);
  const send = (kind: 'A' | 'O' | 'E' | 'X', payload: Uint8Array) => {
    if (socket.destroyed) return;
    const header = Buffer.alloc(HEADER);
    header.write(kind, 'latin1');
    header.writeUInt32BE(payload.length, 1);
    socket.write(Buffer.concat([header, payload]));
  };
  const exit = await qrexec.call(
    { source, target, service },
    {
      stdin: input,
      stdout: (chunk) => send('O', chunk),
      stderr: (chunk) => send('E', chunk),
      drained: () => drained(socket),
      accepted: () => send('A', new Uint8Array()),
      signal: hangUp.signal,
    },
  );
  send('X', Buffer.from(String(exit)));
  socket.end();
}

function drained(socket: Socket): Promise<void> | undefined {
  if (!socket.writableNeedDrain || socket.destroyed) return undefined;
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}

/** Frames of standard input, until the connection ends. */
async function receive(first: Buffer, bytes: AsyncIterator<Buffer>, input: Input): Promise<void> {
  let pending = first;
  for (;;) {
    while (pending.length >= HEADER) {
      const length = pending.readUInt32BE(1);
      if (pending.length < HEADER + length) break;
      if (length === 0) input.end();
      else await input.push(pending.subarray(HEADER, HEADER + length));
      pending = pending.subarray(HEADER + length);
    }
    const { value, done } = await bytes.next();
    if (done) return;
    pending = Buffer.concat([pending, value]);
  }
}

async function readWords(
  bytes: AsyncIterator<Buffer>,
): Promise<{ target: string; service: string; rest: Buffer }> {
  let head = Buffer.alloc(0);
  for (;;) {
    const { value, done } = await bytes.next();
    if (done) throw new Error('the caller disconnected before it named a service');
    head = Buffer.concat([head, value]);
    const first = head.indexOf(0);
    const second = first < 0 ? -1 : head.indexOf(0, first + 1);
    if (second >= 0)
      return {
        target: head.toString('utf8', 0, first),
        service: head.toString('utf8', first + 1, second),
        rest: head.subarray(second + 1),
      };
    if (head.length > MAX_WORDS) throw new Error('target and service are too long');
  }
}
