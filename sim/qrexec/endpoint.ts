/** Where a qube's calls come in: a socket of its own, and beside it the executable that speaks to it. */
import { chmodSync, copyFileSync, mkdirSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { packageFile } from '../root.js';
import type { Qrexec } from './daemon.js';

const MAX_LINE = 4096;
const HEADER = 5;

export class Endpoint {
  private constructor(
    private readonly server: Server,
    private readonly open: Set<Socket>,
    /** The executable a program in that qube would call. */
    readonly client: string,
  ) {}

  static async listen(qrexec: Qrexec, source: string, directory: string): Promise<Endpoint> {
    mkdirSync(directory, { recursive: true });
    const client = join(directory, 'qrexec-client-vm');
    copyFileSync(packageFile('sim/qrexec/qrexec-client-vm'), client);
    chmodSync(client, 0o755);
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

async function serve(qrexec: Qrexec, source: string, socket: Socket): Promise<void> {
  const gone = new AbortController();
  const bytes = socket[Symbol.asyncIterator]() as AsyncIterableIterator<Buffer>;
  const { line, rest } = await readLine(bytes);
  const [target = '', service = ''] = line.split(' ');
  const input = new Input();
  // Read to its end whether or not the service wants it: the end of the connection is the caller's.
  hear(rest, bytes, input)
    .catch(() => {})
    .finally(() => {
      input.end();
      gone.abort();
    });
  const send = (kind: 'O' | 'E' | 'X', payload: Uint8Array) => {
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
      signal: gone.signal,
    },
  );
  send('X', Buffer.from(String(exit)));
  socket.end();
}

/** Standard input as it arrives; whoever reads it waits for the next piece. */
class Input implements AsyncIterable<Uint8Array> {
  private readonly pieces: Uint8Array[] = [];
  private ended = false;
  private wake: () => void = () => {};

  push(piece: Uint8Array): void {
    this.pieces.push(piece);
    this.wake();
  }

  end(): void {
    this.ended = true;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece !== undefined) yield piece;
      else if (this.ended) return;
      else
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
    }
  }
}

/** Frames of standard input, until the connection ends. */
async function hear(first: Buffer, bytes: AsyncIterator<Buffer>, input: Input): Promise<void> {
  let pending = first;
  for (;;) {
    while (pending.length >= HEADER) {
      const length = pending.readUInt32BE(1);
      if (pending.length < HEADER + length) break;
      if (length === 0) input.end();
      else input.push(pending.subarray(HEADER, HEADER + length));
      pending = pending.subarray(HEADER + length);
    }
    const { value, done } = await bytes.next();
    if (done) return;
    pending = Buffer.concat([pending, value]);
  }
}

async function readLine(bytes: AsyncIterator<Buffer>): Promise<{ line: string; rest: Buffer }> {
  let head = Buffer.alloc(0);
  for (;;) {
    const { value, done } = await bytes.next();
    if (done) throw new Error('the caller went before it said what it calls');
    head = Buffer.concat([head, value]);
    const newline = head.indexOf(0x0a);
    if (newline >= 0)
      return { line: head.subarray(0, newline).toString('utf8'), rest: head.subarray(newline + 1) };
    if (head.length > MAX_LINE) throw new Error('too long a line');
  }
}
