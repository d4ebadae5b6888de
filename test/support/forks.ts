/** Python programs in separate processes, forked from one that has already loaded their modules: see forks.py. */
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type PythonProcess, python, type StartPython, startPythonWith } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';

/** The process from which others are forked. */
export class ForkServer {
  private constructor(
    /** The path of its socket. */
    readonly socket: string,
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  /** Loads the code of this dom0. Programs from elsewhere can run too, but not as fast. */
  static async start(dom0 = packageFile('dom0')): Promise<ForkServer> {
    const folder = mkdtempSync(join(tmpdir(), 'qmcp-'));
    const socket = join(folder, 'forks');
    const script = fileURLToPath(new URL('forks.py', import.meta.url));
    const child = spawn(python(), ['-IB', script, socket, dom0], { stdio: ['pipe', 'ignore', 'pipe'] });
    let said = '';
    await new Promise<void>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        if (said.endsWith('ready\n')) resolve();
      });
      child.once('error', reject);
      child.once('close', () => reject(new Error(`${script} ended:\n${said}`)));
    });
    child.stderr.on('data', (text) => process.stderr.write(text));
    return new ForkServer(socket, child, folder);
  }

  async stop(): Promise<void> {
    const gone = once(this.child, 'close');
    this.child.stdin!.end();
    await gone;
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A message of the server about a process. */
interface Told {
  readonly id: number;
  readonly pid?: number;
  readonly code?: number;
  readonly signal?: NodeJS.Signals;
  readonly error?: string;
}

/** A connection to a fork server. Its processes end with it. */
export class Forks {
  private readonly processes = new Map<number, Forked>();
  private readonly folder = mkdtempSync(join(tmpdir(), 'qmcp-'));
  private readonly path = join(this.folder, 'streams');
  private readonly streams: Server;
  private readonly server: Socket;
  private last = 0;

  constructor(socket: string) {
    this.streams = createServer((stream) => this.connected(stream)).listen(this.path);
    this.server = connect(socket);
    const fail = (problem = new Error('it closed')) => {
      for (const forked of this.processes.values()) {
        if (!forked.runs) continue;
        forked.emit('error', new Error(`the fork server is gone: ${problem.message}`));
        forked.ended(null, 'SIGKILL');
      }
    };
    this.server.once('error', fail);
    this.server.once('end', () => fail());
    createInterface({ input: this.server }).on('line', (line) => this.told(JSON.parse(line)));
  }

  readonly start: StartPython = (words, { cwd = process.cwd(), stdio }) => {
    const id = ++this.last;
    const forked = new Forked(stdio, (signal) => this.send({ id, kill: signal }));
    // Its streams may end, and even begin, only after it has ended.
    this.processes.set(id, forked);
    forked.once('close', () => this.processes.delete(id));
    this.send({ id, words, cwd, env: process.env, stdio, streams: this.path });
    return forked;
  };

  /** Kills the processes that still run. */
  stop(): void {
    this.server.destroy();
    this.streams.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private send(what: object): void {
    this.server.write(`${JSON.stringify(what)}\n`);
  }

  private told({ id, pid, code, signal, error }: Told): void {
    const forked = this.processes.get(id);
    if (forked === undefined) return;
    if (pid !== undefined) forked.pid = pid;
    else if (error !== undefined) forked.emit('error', new Error(error));
    else forked.ended(code ?? null, signal ?? null);
  }

  /** The first line of a stream names its process. */
  private connected(stream: Socket): void {
    let head = Buffer.alloc(0);
    const read = () => {
      for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf('\n');
        if (end < 0) continue;
        stream.off('readable', read);
        if (end + 1 < head.length) stream.unshift(head.subarray(end + 1));
        const [id, descriptor] = head.toString('latin1', 0, end).split(' ').map(Number);
        this.processes.get(id!)?.connect(descriptor!, stream);
        return;
      }
    };
    stream.on('error', () => stream.destroy());
    stream.on('readable', read);
  }
}

/** Makes the daemon of every simulated host run from this copy of dom0. Returns a function that undoes this. */
export async function qmcpdFrom(dom0: string): Promise<() => Promise<void>> {
  const server = await ForkServer.start(dom0);
  const forks = new Forks(server.socket);
  const before = startPythonWith((words, options) => forks.start(words, { ...options, cwd: dom0 }));
  return async () => {
    startPythonWith(before);
    forks.stop();
    await server.stop();
  };
}

/** A process with the interface of `spawn`'s result. */
class Forked extends EventEmitter implements PythonProcess {
  pid: number | undefined;
  exitCode: number | null = null;
  signalCode: NodeJS.Signals | null = null;
  private readonly streams: readonly (PassThrough | null)[];
  private readonly read: Promise<unknown>;

  constructor(
    stdio: Parameters<StartPython>[1]['stdio'],
    private readonly tell: (signal: NodeJS.Signals) => void,
  ) {
    super();
    this.streams = stdio.map((one) => (one === 'pipe' ? new PassThrough() : null));
    this.read = Promise.all(this.streams.slice(1).map((stream) => stream && once(stream, 'end')));
  }

  get stdin(): PassThrough | null {
    return this.streams[0]!;
  }
  get stdout(): PassThrough | null {
    return this.streams[1]!;
  }
  get stderr(): PassThrough | null {
    return this.streams[2]!;
  }

  get runs(): boolean {
    return this.exitCode === null && this.signalCode === null;
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): boolean {
    if (this.runs) this.tell(signal);
    return this.runs;
  }

  connect(descriptor: number, stream: Socket): void {
    const ours = this.streams[descriptor]!;
    if (descriptor === 0) ours.pipe(stream);
    else stream.pipe(ours);
  }

  ended(code: number | null, signal: NodeJS.Signals | null): void {
    this.exitCode = code;
    this.signalCode = signal;
    this.emit('exit', code, signal);
    this.read.then(() => this.emit('close', code, signal));
  }
}
