import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, InMemoryTransport } from '@modelcontextprotocol/client';
import { type Invariant, type Plugin, Refused, type ToolContext } from '../core/api/index.js';
import { boot, type Loaded } from '../core/boot/boot.js';
import { connectDom0 } from '../core/boot/catalog.js';
import { type Problem, report } from '../core/boot/problems.js';
import { mcpServer } from '../core/mcp/server.js';
import type { Check } from '../model/invariants.js';
import type { HostSnapshot, WorldSnapshot } from '../model/snapshot.js';
import { BUILT_IN } from '../plugins/index.js';
import { carryOut } from '../sim/control.js';
import { dom0SnapshotOf } from '../sim/dom0.js';
import type { MemoryService } from '../sim/guests/memory-guest.js';
import { type SimHost, startHost } from '../sim/index.js';
import { assertHolds, hiddenQubes, NotHidden } from './checks.js';
import type { GuestProgram } from './guest.js';
import { installContracts, qmcpAdmin } from './operator.js';
import type { ProcessResult } from './run.js';
import { SimulatedCalls } from './simulated-calls.js';
import { worldOf } from './truth.js';

export interface SimulationOptions {
  /** The plugins under test. The ones that ship with qmcp are loaded as well. */
  readonly plugins: readonly Plugin[];
  /** The name of a shipped simulated host, or the path of a file that describes one. */
  readonly world?: string;
  /** The qube whose agent makes the calls. */
  readonly principal?: string;
  /** The programs that answer the plugins' guest services in every running qube, by service name. */
  readonly guests?: Readonly<Record<string, GuestProgram>>;
  /** `false` starts without the plugins' contracts in dom0, as before an operator installs them. */
  readonly installed?: boolean;
  /** The plugins' options, by plugin id. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The result of a call over MCP. */
export interface Answer {
  readonly isError?: boolean;
  readonly text: string;
  readonly structuredContent: Readonly<Record<string, unknown>>;
}

export interface McpClient {
  tools(): Promise<readonly { readonly name: string; readonly description: string }[]>;
  call(tool: string, input?: Readonly<Record<string, unknown>>): Promise<Answer>;
  close(): Promise<void>;
}

/** The world in qmcp.toml that the test kit uses. */
const WORLD = 'ai';
const MISSING = 'no-such-qube';

/**
 * Starts a simulated Qubes host with the dom0 that ships, installs the plugins' contracts in it as an operator would, and
 * loads the plugins against it as `qmcp serve` would. Everything is in a temporary folder until `close()`.
 */
export function simulatedHost(options: SimulationOptions): Promise<SimulatedHost> {
  return SimulatedHost.start(options);
}

export class SimulatedHost {
  private loaded: Loaded | undefined;
  private readonly logLines: string[] = [];
  /** How many qubes `hidesQubes` has made and removed. */
  private removedCount = 0;

  private constructor(
    private readonly sim: SimHost,
    private readonly plugins: readonly Plugin[],
    private readonly principal: string,
    private readonly options: Readonly<Record<string, unknown>>,
    /** An executable that behaves as `qrexec-client-vm` in the principal: `qmcp serve --client` takes it. */
    readonly client: string,
  ) {}

  /** See `simulatedHost`. */
  static async start(options: SimulationOptions): Promise<SimulatedHost> {
    // A short name: the path of a socket has at most 107 bytes.
    const dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
    const { world = 'demo', principal = 'mcp-control', guests = {} } = options;
    let sim: SimHost | undefined;
    try {
      const services = Object.entries(guests).map(([name, program]) => [name, asService(program, dir)]);
      sim = await startHost({ spec: world, dir, services: Object.fromEntries(services) });
      const host = new SimulatedHost(
        sim,
        options.plugins,
        principal,
        options.options ?? {},
        await sim.client(principal),
      );
      if (options.installed !== false) for (const plugin of options.plugins) await host.install(plugin);
      else await host.reload();
      return host;
    } catch (error) {
      await sim?.close();
      rmSync(dir, { recursive: true, force: true });
      throw error;
    }
  }

  /** dom0's root: `etc`, `run`, `var` as on a real machine. */
  get root(): string {
    return this.sim.root;
  }

  /** The lines for the operator so far. */
  get log(): readonly string[] {
    return this.logLines;
  }

  /** The names of the tools an agent has. */
  get tools(): string[] {
    return this.current.tools.map(({ tool }) => tool.name);
  }

  /** Why plugins are not loaded, in the words of `qmcp plugins`. */
  get problems(): readonly { readonly code: string; readonly plugin: string; readonly message: string }[] {
    return this.current.problems;
  }

  /** The world as the operator configured it. */
  get world(): WorldSnapshot {
    return worldOf(this.root, WORLD);
  }

  /** The actual state of the host, not an agent's view. */
  snapshot(): HostSnapshot {
    return { ...this.sim.host.snapshot(), dom0: dom0SnapshotOf(this.root) };
  }

  /** Calls a tool as an agent does. Rejects with `Refused`, or with an error that says why there is no such tool. */
  async call(
    tool: string,
    input: Readonly<Record<string, unknown>> = {},
    context: Partial<ToolContext> = {},
  ): Promise<Record<string, unknown>> {
    const served = this.current.tools.find((each) => each.tool.name === tool);
    if (served === undefined)
      throw new Error(`there is no tool ${tool}\n${report(this.problems as readonly Problem[])}`.trim());
    return served.call(input, { signal: new AbortController().signal, progress: () => {}, ...context });
  }

  /** The refusal code of a call, or undefined if it succeeds. */
  async refusal(tool: string, input: Readonly<Record<string, unknown>> = {}): Promise<string | undefined> {
    try {
      await this.call(tool, input);
      return undefined;
    } catch (error) {
      if (error instanceof Refused) return error.code;
      throw error;
    }
  }

  /** A connected MCP client. */
  async connect(): Promise<McpClient> {
    const server = mcpServer(
      { ...this.current, version: '0', log: (line) => this.logLines.push(line) },
      { subscribable: false },
    );
    const [near, far] = InMemoryTransport.createLinkedPair();
    await server.connect(far);
    const client = new Client({ name: 'qmcp-testing', version: '0' });
    await client.connect(near);
    return {
      tools: async () =>
        (await client.listTools()).tools.map(({ name, description = '' }) => ({ name, description })),
      call: async (name, input = {}) => {
        const result = await client.callTool({ name, arguments: input });
        const content = result.content as readonly { type: string; text?: string }[];
        return {
          ...(result.isError && { isError: true }),
          text: content.map(({ text = '' }) => text).join('\n'),
          structuredContent: (result.structuredContent ?? {}) as Record<string, unknown>,
        };
      },
      close: () => client.close(),
    };
  }

  /**
   * Runs an action and compares the host before and after it. Checks the given invariants and checks, or else every invariant
   * that a service of the plugins under test declares. Rejects with `InvariantBroken`.
   */
  async upholding<T>(
    act: () => Promise<T>,
    what: readonly (Invariant | Check)[] = this.declared(),
  ): Promise<T> {
    const before = this.snapshot();
    const result = await act();
    assertHolds(what, before, this.snapshot(), this.world);
    return result;
  }

  /**
   * Calls a tool on every qube that an agent may not see, on a removed qube, and on one that never existed. Rejects with
   * `NotHidden` if an answer differs or anything changes.
   */
  async hidesQubes(
    tool: string,
    inputFor: (qube: string) => Readonly<Record<string, unknown>>,
  ): Promise<void> {
    this.removedCount += 1;
    const removed = `${this.world.prefix}was-here-${this.removedCount}`;
    await this.call('qube_spawn', { name: removed, template: this.template() });
    await this.call('qube_remove', { qube: removed });
    const qubes = () => JSON.stringify(this.sim.host.snapshot());
    const before = qubes();
    const missing = await this.outcome(tool, inputFor(MISSING));
    for (const name of hiddenQubes(this.snapshot(), this.world)) {
      const answer = await this.outcome(tool, inputFor(name));
      if (answer !== missing)
        throw new NotHidden(`${tool} on ${name}: ${answer}; on a qube that does not exist: ${missing}`);
    }
    if (qubes() !== before) throw new NotHidden(`${tool} changed the host though every call was refused`);
  }

  /** Runs `qmcp-admin` in dom0. */
  admin(...words: string[]): Promise<ProcessResult> {
    return qmcpAdmin(this.root, ...words);
  }

  /** Acts as a person at the machine: `operate('tag', 'work', '+ai-managed')`. `operate('help')` lists the commands. */
  operate(...words: string[]): Promise<readonly string[]> {
    return carryOut({ host: this.sim.host, qrexec: this.sim.qrexec }, words);
  }

  /** A folder that stands for a qube's disk; its guest programs run there. */
  folder(qube: string): string {
    return folderOf(this.sim.dir, qube);
  }

  /** Reviews, installs and grants the plugin's contracts, and reloads everything. Returns the review. */
  async install(plugin: Plugin): Promise<string> {
    const review = await installContracts(this.root, plugin, WORLD, this.principal);
    await this.load();
    return review;
  }

  /** Restarts dom0's daemon, so that it reads what an operator has installed, and then reloads the plugins. */
  async load(): Promise<void> {
    await this.sim.qmcpd.restart();
    await this.reload();
  }

  private async reload(): Promise<void> {
    await this.loaded?.dispose();
    this.loaded = await boot({
      candidates: [...BUILT_IN, ...this.plugins].map((plugin) => ({ origin: plugin.id, plugin })),
      ...connectDom0(new SimulatedCalls(this.sim, this.principal), 30),
      onRefusal: 'skip',
      options: this.options,
      log: (line) => this.logLines.push(line),
    });
  }

  async close(): Promise<void> {
    await this.loaded?.dispose();
    await this.sim.close();
    rmSync(this.sim.dir, { recursive: true, force: true });
  }

  private get current(): Loaded {
    if (this.loaded === undefined) throw new Error('the plugins are not loaded');
    return this.loaded;
  }

  private declared(): Invariant[] {
    return this.plugins.flatMap(({ services }) => services.flatMap(({ invariants }) => invariants));
  }

  private template(): string {
    const { world } = this;
    const ours = this.snapshot().qubes.find(
      (qube) => qube.class === 'TemplateVM' && qube.tags.includes(`${world.name}-managed`),
    );
    if (ours === undefined) throw new Error(`the world ${world.name} has no template`);
    return ours.name;
  }

  private async outcome(tool: string, input: Readonly<Record<string, unknown>>): Promise<string> {
    try {
      return JSON.stringify(await this.call(tool, input));
    } catch (error) {
      if (error instanceof Refused) return JSON.stringify({ code: error.code, data: error.data });
      throw error;
    }
  }
}

function asService(program: GuestProgram, dir: string): MemoryService {
  return async (guest, call) => {
    const { argument, source, stdin, signal } = call;
    const folder = folderOf(dir, guest.name);
    const { stdout, exit } = await program({
      ...{ qube: guest.name, argument, source, folder, stdin, signal },
    });
    call.stdout(stdout);
    return exit;
  };
}

function folderOf(dir: string, qube: string): string {
  const folder = join(dir, 'qubes', qube);
  mkdirSync(folder, { recursive: true });
  return folder;
}
