/** The harness of all tests that need a complete host: a simulated host with the shipped dom0, its operator, and an agent. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { WorldSnapshot } from '../../model/snapshot.js';
import { type SimHost, type SimOptions, startHost } from '../../sim/index.js';
import { qmcpAdmin } from '../../testing/operator.js';
import type { ProcessResult } from '../../testing/run.js';
import { worldOf } from '../../testing/truth.js';
import { Agent, type CallOptions, type Outcome } from './agent.js';
import { addressed, descriptor, sendToQmcpd } from './qmcpd-socket.js';
import { until } from './waiting.js';

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

/** Leaves dom0 as the installer made it. */
export const asShipped = (): void => {};

export interface HarnessOptions {
  /** Changes dom0's files before qmcpd starts, as an operator might have done; `roomy` by default. */
  readonly prepare?: SimOptions['prepare'] | undefined;
  /** The host; `demo` by default. */
  readonly spec?: SimOptions['spec'];
  readonly api?: SimOptions['api'];
  readonly seed?: number;
  readonly guests?: NonNullable<SimOptions['guests']>;
}

/** The answer of a service: `ok` with a result, the code of a refusal, or `denied` by the policy. */
export interface Answer {
  readonly code: string;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks where it likes
  readonly result?: any;
  readonly data?: unknown;
}

const PRINCIPAL = 'mcp-control';

export class Harness {
  private agentOrNone: Promise<Agent> | undefined;
  /** The names by which `named` knew a uuid, as long as there was such a qube. */
  private readonly names = new Map<string, string>();

  private constructor(
    readonly sim: SimHost,
    /** A temporary folder for the test's own files; it also contains the host. */
    readonly folder: string,
  ) {}

  static async start(options: HarnessOptions = {}): Promise<Harness> {
    const { prepare = roomy, spec = 'demo', api, ...more } = options;
    const folder = mkdtempSync(join(tmpdir(), 'qmcp-'));
    try {
      const sim = await startHost({ ...more, spec, api, prepare, dir: join(folder, 'host') });
      const harness = new Harness(sim, folder);
      // After this answer, qmcpd has scanned as it does at its start, and sends qubesd no requests of its own.
      await harness.call('@adminvm', 'qmcp.inspect.List');
      return harness;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async close(): Promise<void> {
    await (await this.agentOrNone)?.close();
    await this.sim.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  // The agent, through the tools of qmcp, which run in this process.

  agent(): Promise<Agent> {
    this.agentOrNone ??= Agent.of(this.sim, PRINCIPAL);
    return this.agentOrNone;
  }

  async tool(name: string, input: unknown, options: CallOptions = {}): Promise<Outcome> {
    return (await this.agent()).call(name, input, options);
  }

  /** A tool call that must succeed. */
  async done(name: string, input: unknown): Promise<Outcome> {
    const outcome = await this.tool(name, input);
    if (outcome.code !== 'ok') throw new Error(`${name} ${JSON.stringify(input)}: ${outcome.code}`);
    return outcome;
  }

  /** An executable that makes the agent's calls, for `qmcp serve --client`. */
  client(): Promise<string> {
    return this.sim.client(PRINCIPAL);
  }

  // The control qube, without qmcp: everything that an attacker there can send.

  /** A call from the control qube, through the policy. Without a plus in the service, its argument is the target's name. */
  async call(target: string, service: string, payload: unknown = {}, source = PRINCIPAL) {
    const called = addressed(service, target);
    const { exit, stdout } = await this.sim.call(source, target, called, bytesOf(payload));
    return { exit, stdout: Buffer.from(stdout).toString('utf8') };
  }

  /** A call from the control qube, and its answer. */
  async ask(target: string, service: string, payload: unknown = {}): Promise<Answer> {
    const { stdout } = await this.call(target, service, payload);
    if (stdout === '') return { code: 'denied' };
    const { ok, result, error } = JSON.parse(stdout.split('\n')[0]!);
    return ok ? { code: 'ok', result } : error;
  }

  /** A call past the policy: directly to qmcpd's socket. */
  direct(service: string, target: string, payload: unknown = {}, source = PRINCIPAL): Promise<string> {
    return this.bytes(Buffer.concat([descriptor(service, source, target), bytesOf(payload)]));
  }

  /** Any bytes to qmcpd's socket, then end of file. */
  async bytes(bytes: Uint8Array): Promise<string> {
    const chunks: Uint8Array[] = [];
    await sendToQmcpd(this.sim.root, bytes, (chunk) => chunks.push(chunk));
    return Buffer.concat(chunks).toString('utf8');
  }

  /** A row of the world's budget in qmcpd's answer. */
  async budget(line: string): Promise<{ readonly used: number; readonly limit: number }> {
    const { result } = await this.ask('@adminvm', 'qmcp.storage.Budget');
    return result.lines.find((row: { line: string }) => row.line === line);
  }

  /** Resolves when so many calls of the world are in progress: each waits for others, or is beyond that. */
  underWay(calls: number): Promise<void> {
    return until(async () => (await this.budget('concurrent_calls')).used === calls + 1);
  }

  // The operator in dom0.

  /** An Admin API call of the operator. Fails the test if qubesd refuses. */
  async operator(method: string, dest: string, argument = '', payload = ''): Promise<string> {
    const request = Buffer.from(`${method}+${argument} dom0 name ${dest}\0${payload}`);
    const reply = Buffer.from(await this.sim.host.call(request)).toString('utf8');
    if (!reply.startsWith('0\0')) throw new Error(`${method} ${dest} ${argument}: ${JSON.stringify(reply)}`);
    return reply.slice(2);
  }

  /** Runs `qmcp-admin`. */
  admin(...words: string[]): Promise<ProcessResult> {
    return qmcpAdmin(this.sim.root, ...words);
  }

  // The actual state, which no agent sees.

  /** A request to qubesd with the name of its qube in place of the uuid, so that requests on two hosts can be compared. */
  named(request: string): string {
    return request.replace(/(?<= name )uuid:[0-9a-f-]{36}(?=\0)/, (uuid) => {
      const name = this.sim.host.find(uuid)?.name ?? this.names.get(uuid) ?? uuid;
      this.names.set(uuid, name);
      return name;
    });
  }

  qube(name: string) {
    return this.sim.host.snapshot().qubes.find((qube) => qube.name === name);
  }

  /** The name of the first disposable: qubesd draws these names. */
  disposable(): string | undefined {
    return this.sim.host.snapshot().qubes.find((qube) => qube.class === 'DispVM')?.name;
  }

  /** The state of all qubes as text, for comparison. */
  truth(): string {
    return JSON.stringify(this.sim.host.snapshot());
  }

  /** The state of each qube by name, for `changedSince`. */
  states(): ReadonlyMap<string, string> {
    return new Map(this.sim.host.snapshot().qubes.map((qube) => [qube.name, JSON.stringify(qube)]));
  }

  /** The names of changed qubes. */
  changedSince(before: ReadonlyMap<string, string>): string[] {
    const now = this.states();
    return [...new Set([...before.keys(), ...now.keys()])].filter(
      (name) => before.get(name) !== now.get(name),
    );
  }

  /** The world as the operator configured it. */
  world(): WorldSnapshot {
    return worldOf(this.sim.root, 'ai');
  }

  audit(): Record<string, unknown>[] {
    const text = readFileSync(join(this.sim.root, 'var/log/qmcp/audit.log'), 'utf8');
    return text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

/** One host for a whole file of tests. */
export function sharedHarness(options: HarnessOptions = {}): () => Harness {
  let harness: Harness;
  beforeAll(async () => {
    harness = await Harness.start(options);
  });
  afterAll(() => harness.close());
  return () => harness;
}

const bytesOf = (payload: unknown): Buffer =>
  Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload));
