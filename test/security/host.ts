import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { type SimHost, type SimOptions, startHost } from '../../sim/index.js';
import { Input } from '../../sim/qrexec/input.js';
import { until } from '../support/waiting.js';

/** Sets keys of the installed qmcp.toml, as the operator would: `{ qubes: 3 }`. */
export function configure(root: string, keys: Record<string, string | number>): void {
  const path = join(root, 'etc/qmcp/qmcp.toml');
  let text = readFileSync(path, 'utf8');
  for (const [key, value] of Object.entries(keys)) {
    const line = new RegExp(`^${key} = .*$`, 'm');
    if (!line.test(text)) throw new Error(`qmcp.toml has no ${key}`);
    text = text.replace(line, `${key} = ${value}`);
  }
  writeFileSync(path, text);
}

/** Room for whatever a test makes; tests of the budget say their own. */
export const roomy = (root: string): void =>
  configure(root, {
    qubes: 10_000,
    disk: 2 ** 50,
    running: 10_000,
    memory: 2 ** 30,
    vcpus: 10_000,
    calls_per_minute: 100_000,
    creates_per_hour: 100_000,
  });

export interface Answer {
  readonly code: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks where it likes
  readonly result?: any;
  readonly data?: unknown;
}

export interface Heard {
  readonly event: string;
  readonly qube: string | null;
}

/** The template of the demo's world, whose label the tests change to see how far a listener has come. */
const MARK = 'ai-debian';

/** An agent that listens to what happens to its world's qubes. */
export class Listener {
  private said = '';
  private marks = 0;
  private readonly leaving = new AbortController();
  private readonly over: Promise<unknown>;

  private constructor(private readonly seat: Seat) {
    this.over = seat.sim.qrexec.call(
      { source: 'mcp-control', target: '@adminvm', service: 'qmcp.events.Watch' },
      {
        stdin: Input.of(Buffer.from('{"seconds":600}')),
        stdout: (bytes) => {
          this.said += Buffer.from(bytes);
        },
        stderr: () => {},
        signal: this.leaving.signal,
      },
    );
  }

  /** It misses nothing from here on. */
  static async of(seat: Seat): Promise<Listener> {
    const listener = new Listener(seat);
    await until(() => listener.all().some(({ event }) => event === 'watching'));
    return listener;
  }

  /** What it has heard so far. */
  heard(): Heard[] {
    return this.all().filter(({ event, qube }) => !['watching', 'nothing'].includes(event) && qube !== MARK);
  }

  /** What it has heard when it has heard of all that has happened until now. */
  async caughtUp(): Promise<Heard[]> {
    this.marks += 1;
    await this.seat.operator('admin.vm.property.Set', MARK, 'label', this.marks % 2 ? 'orange' : 'yellow');
    await until(() => this.all().filter(({ qube }) => qube === MARK).length === this.marks);
    return this.heard();
  }

  /** It goes. qmcpd notices when it has something to say to it. */
  async leave(): Promise<void> {
    this.leaving.abort();
    await this.over;
  }

  /** Everything it was told, when it is told no more. */
  async end(): Promise<string> {
    await this.over;
    return this.said;
  }

  private all(): Heard[] {
    const lines = this.said.split('\n').slice(0, -1);
    return lines.flatMap((line) => (JSON.parse(line) as { result?: Heard }).result ?? []);
  }
}

/** A simulated host with the real qmcpd, and the moves an attacker in the control qube has. */
export class Seat {
  private constructor(
    readonly sim: SimHost,
    private readonly directory: string,
  ) {}

  /** `prepare` does to dom0's files what an operator might have done before. */
  static async take(
    world: SimOptions['spec'] = 'demo',
    prepare: (root: string) => void = roomy,
    api?: SimOptions['api'],
  ): Promise<Seat> {
    const directory = mkdtempSync(join(tmpdir(), 'qmcp-'));
    const seat = new Seat(await startHost({ spec: world, dir: directory, prepare, api }), directory);
    // Once it has answered this, qmcpd has looked around, as it does when it starts, and asks qubesd nothing unasked.
    await seat.call('@adminvm', 'qmcp.inspect.List');
    return seat;
  }

  async leave(): Promise<void> {
    await this.sim.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A call as the control qube makes it, policy included. */
  async call(target: string, service: string, payload: unknown = {}, source = 'mcp-control') {
    const stdin = typeof payload === 'string' ? payload : JSON.stringify(payload);
    const { exit, stdout } = await this.sim.call(source, target, service, Buffer.from(stdin));
    return { exit, stdout: Buffer.from(stdout).toString('utf8') };
  }

  /** A call as the control qube makes it, and what came of it: `ok`, a refusal's code, or `denied` by the policy. */
  async ask(target: string, service: string, payload: unknown = {}): Promise<Answer> {
    const { stdout } = await this.call(target, service, payload);
    if (stdout === '') return { code: 'denied' };
    const { ok, result, error } = JSON.parse(stdout.split('\n')[0]!);
    return ok ? { code: 'ok', result } : error;
  }

  /** A qube of the host as it is in truth. */
  qube(name: string) {
    return this.sim.host.snapshot().qubes.find((one) => one.name === name);
  }

  /** The name of the first disposable there is: qubesd draws them. */
  disposable(): string | undefined {
    return this.sim.host.snapshot().qubes.find((qube) => qube.class === 'DispVM')?.name;
  }

  /** A call that gets past the policy, or never met it: straight to qmcpd's socket. */
  async direct(
    service: string,
    target: string,
    payload: unknown = {},
    source = 'mcp-control',
  ): Promise<string> {
    const where = target === '@adminvm' ? 'keyword adminvm' : `name ${target}`;
    const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
    return this.bytes(Buffer.from(`${service}+ ${source} ${where}\0${body}`));
  }

  /** Any bytes at all to qmcpd's socket, then end of file. */
  bytes(bytes: Uint8Array): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({
        path: join(this.sim.root, 'run/qmcp/qmcpd.sock'),
        allowHalfOpen: true,
      });
      const chunks: Buffer[] = [];
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.on('end', () => {
        socket.destroy();
        resolve(Buffer.concat(chunks).toString('utf8'));
      });
      socket.on('error', reject);
      socket.end(bytes);
    });
  }

  /** An Admin API call as the operator makes it in dom0. Fails the test when qubesd refuses. */
  async operator(method: string, dest: string, argument = '', payload = ''): Promise<string> {
    const request = Buffer.from(`${method}+${argument} dom0 name ${dest}\0${payload}`);
    const reply = Buffer.from(await this.sim.host.call(request)).toString('utf8');
    if (!reply.startsWith('0\0')) throw new Error(`${method} ${dest} ${argument}: ${JSON.stringify(reply)}`);
    return reply.slice(2);
  }

  /** Holds the first call to qubesd of this method until it is let go. */
  hold(method: string): { arrived: Promise<void>; release(): void } {
    const { host } = this.sim;
    const original = host.call.bind(host);
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const arrived = new Promise<void>((resolve) => {
      host.call = async (request) => {
        if (Buffer.from(request).toString('latin1').startsWith(`${method}+`)) {
          host.call = original;
          resolve();
          await gate;
        }
        return original(request);
      };
    });
    return { arrived, release };
  }

  /** A line of the world's budget, as qmcpd tells it. */
  async budget(line: string): Promise<{ readonly used: number; readonly limit: number }> {
    const { result } = await this.ask('@adminvm', 'qmcp.storage.Budget');
    return result.lines.find((one: { line: string }) => one.line === line);
  }

  /** Resolves when so many calls of the world are under way: each has come to where it waits for others, or beyond. */
  underWay(calls: number): Promise<void> {
    return until(async () => (await this.budget('concurrent_calls')).used === calls + 1);
  }

  audit(): Record<string, unknown>[] {
    const text = readFileSync(join(this.sim.root, 'var/log/qmcp/audit.log'), 'utf8');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** The host's truth, to hold against itself. */
  truth(): string {
    return JSON.stringify(this.sim.host.snapshot());
  }
}

/** One host for a whole file of tests. */
export function seat(world?: string): () => Seat {
  let taken: Seat;
  beforeAll(async () => {
    taken = await Seat.take(world);
  });
  afterAll(async () => {
    await taken.leave();
  });
  return () => taken;
}
