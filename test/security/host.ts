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

/** Enough budget for every test; tests of the budget set their own. */
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

/** The template of the demo's world: the tests change its label to see whether a listener has caught up. */
const MARK = 'ai-debian';

/** An agent that listens to the events of its world's qubes. */
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

  /** It misses no event from here on. */
  static async of(seat: Seat): Promise<Listener> {
    const listener = new Listener(seat);
    await until(() => listener.all().some(({ event }) => event === 'watching'));
    return listener;
  }

  /** The events so far. */
  heard(): Heard[] {
    return this.all().filter(({ event, qube }) => !['watching', 'nothing'].includes(event) && qube !== MARK);
  }

  /** The events after it has heard everything that has happened until now. */
  async caughtUp(): Promise<Heard[]> {
    this.marks += 1;
    await this.seat.operator('admin.vm.property.Set', MARK, 'label', this.marks % 2 ? 'orange' : 'yellow');
    await until(() => this.all().filter(({ qube }) => qube === MARK).length === this.marks);
    return this.heard();
  }

  /** Disconnects. qmcpd notices at the next event. */
  async leave(): Promise<void> {
    this.leaving.abort();
    await this.over;
  }

  /** All its events, when no more come. */
  async end(): Promise<string> {
    await this.over;
    return this.said;
  }

  private all(): Heard[] {
    const lines = this.said.split('\n').slice(0, -1);
    return lines.flatMap((line) => (JSON.parse(line) as { result?: Heard }).result ?? []);
  }
}

/** A simulated host with the real qmcpd, and the actions of an attacker in the control qube. */
export class Seat {
  private constructor(
    readonly sim: SimHost,
    private readonly directory: string,
  ) {}

  /** `prepare` changes dom0's files as an operator might have done before. */
  static async take(
    world: SimOptions['spec'] = 'demo',
    prepare: (root: string) => void = roomy,
    api?: SimOptions['api'],
  ): Promise<Seat> {
    const directory = mkdtempSync(join(tmpdir(), 'qmcp-'));
    const seat = new Seat(await startHost({ spec: world, dir: directory, prepare, api }), directory);
    // After this answer, qmcpd has scanned as it does at its start, and sends qubesd no requests of its own.
    await seat.call('@adminvm', 'qmcp.inspect.List');
    return seat;
  }

  async leave(): Promise<void> {
    await this.sim.close();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A call from the control qube, through the policy. */
  async call(target: string, service: string, payload: unknown = {}, source = 'mcp-control') {
    const stdin = typeof payload === 'string' ? payload : JSON.stringify(payload);
    const { exit, stdout } = await this.sim.call(source, target, service, Buffer.from(stdin));
    return { exit, stdout: Buffer.from(stdout).toString('utf8') };
  }

  /** A call from the control qube and its outcome: `ok`, a refusal's code, or `denied` by the policy. */
  async ask(target: string, service: string, payload: unknown = {}): Promise<Answer> {
    const { stdout } = await this.call(target, service, payload);
    if (stdout === '') return { code: 'denied' };
    const { ok, result, error } = JSON.parse(stdout.split('\n')[0]!);
    return ok ? { code: 'ok', result } : error;
  }

  /** The actual state of a qube. */
  qube(name: string) {
    return this.sim.host.snapshot().qubes.find((one) => one.name === name);
  }

  /** The name of the first disposable: qubesd draws these names. */
  disposable(): string | undefined {
    return this.sim.host.snapshot().qubes.find((qube) => qube.class === 'DispVM')?.name;
  }

  /** A call past the policy: directly to qmcpd's socket. */
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

  /** Any bytes to qmcpd's socket, then end of file. */
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

  /** An Admin API call of the operator in dom0. Fails the test if qubesd refuses. */
  async operator(method: string, dest: string, argument = '', payload = ''): Promise<string> {
    const request = Buffer.from(`${method}+${argument} dom0 name ${dest}\0${payload}`);
    const reply = Buffer.from(await this.sim.host.call(request)).toString('utf8');
    if (!reply.startsWith('0\0')) throw new Error(`${method} ${dest} ${argument}: ${JSON.stringify(reply)}`);
    return reply.slice(2);
  }

  /** Holds the first call of this method to qubesd until it is released. */
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

  /** A row of the world's budget in qmcpd's answer. */
  async budget(line: string): Promise<{ readonly used: number; readonly limit: number }> {
    const { result } = await this.ask('@adminvm', 'qmcp.storage.Budget');
    return result.lines.find((one: { line: string }) => one.line === line);
  }

  /** Resolves when so many calls of the world are in progress: each waits for others, or is beyond that. */
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

  /** The host's actual state as text, for comparison. */
  truth(): string {
    return JSON.stringify(this.sim.host.snapshot());
  }
}

/** One host for a whole file of tests. */
export function seat(world?: string, prepare?: (root: string) => void): () => Seat {
  let taken: Seat;
  beforeAll(async () => {
    taken = await Seat.take(world, prepare);
  });
  afterAll(async () => {
    await taken.leave();
  });
  return () => taken;
}
