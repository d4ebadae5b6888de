import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { type Plugin, Refused, type Rule, type Tool } from '../../core/api/index.js';
import { boot, type Loaded } from '../../core/boot/boot.js';
import { connectDom0 } from '../../core/boot/catalog.js';
import type { Qrexec, QrexecRequest, QrexecResult } from '../../core/ports/qrexec.js';
import type { WorldSnapshot } from '../../model/snapshot.js';
import { BUILT_IN } from '../../plugins/index.js';
import type { SimHost } from '../../sim/index.js';
import { SimulatedCalls } from '../../testing/simulated-calls.js';

/** The outcome of a call: a tool's result, or the code of its refusal. */
export interface Came {
  readonly code: string;
  readonly result?: Record<string, unknown>;
  readonly data?: Readonly<Record<string, unknown>> | undefined;
}

/** Calls of the control qube without a process for each. */
class InProcess implements Qrexec {
  private readonly calls: SimulatedCalls;
  /** Sends calls that dom0 answers directly to qmcpd's socket, as if the policy had allowed everything. */
  pastPolicy = false;

  constructor(
    private readonly sim: SimHost,
    private readonly principal: string,
  ) {
    this.calls = new SimulatedCalls(sim, principal);
  }

  call(request: QrexecRequest): Promise<QrexecResult> {
    return this.pastPolicy && !request.service.startsWith('qmcp.exec.')
      ? this.direct(request)
      : this.calls.call(request);
  }

  private direct({ target, service, stdin, signal, onStdout }: QrexecRequest): Promise<QrexecResult> {
    const where = target === '@adminvm' ? 'keyword adminvm' : `name ${target}`;
    return new Promise((resolve) => {
      const kept: Uint8Array[] = [];
      const socket = connect({ path: join(this.sim.root, 'run/qmcp/qmcpd.sock'), allowHalfOpen: true });
      const stop = () => socket.destroy();
      signal?.addEventListener('abort', stop, { once: true });
      socket.on('data', (bytes) => (onStdout ? onStdout(bytes) : kept.push(bytes)));
      socket.on('error', () => {});
      socket.on('end', () => socket.destroy());
      socket.on('close', () => {
        signal?.removeEventListener('abort', stop);
        const stdout = Buffer.concat(kept);
        resolve({
          ended: signal?.aborted ? 'aborted' : 'exit',
          exit: signal?.aborted ? null : 0,
          stdout,
          stderr: '',
        });
      });
      socket.end(Buffer.concat([Buffer.from(`${service}+ ${this.principal} ${where}\0`), stdin]));
    });
  }
}

/** An agent's tools on a simulated host, in this process: the core, the plugins and dom0 as shipped. */
export class Agent {
  private constructor(
    readonly host: Loaded,
    private readonly qrexec: InProcess,
    readonly log: readonly string[],
  ) {}

  static async of(
    sim: SimHost,
    plugins: readonly Plugin[] = BUILT_IN,
    principal = 'mcp-control',
  ): Promise<Agent> {
    const log: string[] = [];
    const qrexec = new InProcess(sim, principal);
    const candidates = plugins.map((plugin) => ({ origin: plugin.id, plugin }));
    const host = await boot({
      candidates,
      ...connectDom0(qrexec, 30),
      onRefusal: 'exit',
      log: (line) => log.push(line),
    });
    return new Agent(host, qrexec, log);
  }

  tool(name: string): Tool {
    return this.host.tools.find(({ tool }) => tool.name === name)!.tool;
  }

  async call(
    name: string,
    input: unknown,
    { signal = new AbortController().signal, progress = (_: string) => {}, pastPolicy = false } = {},
  ): Promise<Came> {
    const served = this.host.tools.find(({ tool }) => tool.name === name);
    if (served === undefined) throw new Error(`there is no tool ${name}`);
    this.qrexec.pastPolicy = pastPolicy;
    try {
      return { code: 'ok', result: await served.call(input, { signal, progress }) };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return error.data === undefined ? { code: error.code } : { code: error.code, data: error.data };
    }
  }
}

/** The world in dom0's qmcp.toml. */
export function worldOf(root: string, name = 'ai'): WorldSnapshot {
  const text = readFileSync(join(root, 'etc/qmcp/qmcp.toml'), 'utf8');
  const table = (parse(text).world as Record<string, unknown>)[name] as Omit<
    WorldSnapshot,
    'name' | 'principals'
  > & {
    birth_gateway: string;
    birth_ceiling: WorldSnapshot['birthCeiling'];
    egress: Rule[];
    principal: object;
  };
  return {
    ...table,
    name,
    principals: Object.keys(table.principal),
    birthGateway: table.birth_gateway,
    birthCeiling: table.birth_ceiling,
    frozen: false,
  };
}
