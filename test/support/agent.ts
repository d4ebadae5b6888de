import { type Plugin, Refused, type Tool } from '../../core/api/index.js';
import { boot, type Loaded } from '../../core/boot/boot.js';
import { connectDom0 } from '../../core/boot/catalog.js';
import type { QrexecRequest, QrexecResult } from '../../core/ports/qrexec.js';
import { BUILT_IN } from '../../plugins/index.js';
import type { SimHost } from '../../sim/index.js';
import { SimulatedCalls } from '../../testing/simulated-calls.js';
import { descriptor, sendToQmcpd } from './qmcpd-socket.js';

/** The outcome of a call: a tool's result, or the code of its refusal. */
export interface Outcome {
  readonly code: string;
  readonly result?: Record<string, unknown>;
  readonly data?: Readonly<Record<string, unknown>> | undefined;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly progress?: (message: string) => void;
  /** Sends calls that dom0 answers directly to qmcpd's socket, as if the policy had allowed everything. */
  readonly pastPolicy?: boolean;
}

/** An agent's tools on a simulated host, in this process: the core, the plugins and dom0 as shipped. */
export class Agent {
  private pastPolicy = false;
  readonly log: string[] = [];
  private host!: Loaded;

  private constructor(
    private readonly sim: SimHost,
    private readonly principal: string,
  ) {}

  static async of(sim: SimHost, principal: string, plugins: readonly Plugin[] = BUILT_IN): Promise<Agent> {
    const agent = new Agent(sim, principal);
    const calls = new SimulatedCalls(sim, principal);
    const call = (request: QrexecRequest) =>
      agent.pastPolicy && !request.service.startsWith('qmcp.exec.')
        ? agent.callPastPolicy(request)
        : calls.call(request);
    agent.host = await boot({
      candidates: plugins.map((plugin) => ({ origin: plugin.id, plugin })),
      ...connectDom0({ call }, 30),
      // dom0 itself must cope with any number of calls.
      concurrent: 1000,
      onRefusal: 'exit',
      log: (line) => agent.log.push(line),
    });
    return agent;
  }

  close(): Promise<unknown> {
    return this.host.dispose();
  }

  definition(name: string): Tool {
    return this.served(name).tool;
  }

  async call(name: string, input: unknown, options: CallOptions = {}): Promise<Outcome> {
    const { signal = new AbortController().signal, progress = () => {}, pastPolicy = false } = options;
    const served = this.served(name);
    this.pastPolicy = pastPolicy;
    try {
      return { code: 'ok', result: await served.call(input, { signal, progress }) };
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return error.data === undefined ? { code: error.code } : { code: error.code, data: error.data };
    }
  }

  private served(name: string): Loaded['tools'][number] {
    const served = this.host.tools.find(({ tool }) => tool.name === name);
    if (served === undefined) throw new Error(`there is no tool ${name}`);
    return served;
  }

  private async callPastPolicy(request: QrexecRequest): Promise<QrexecResult> {
    const { target, service, stdin, signal, onStdout } = request;
    const chunks: Uint8Array[] = [];
    const bytes = Buffer.concat([descriptor(service, this.principal, target), stdin]);
    await sendToQmcpd(this.sim.root, bytes, onStdout ?? ((chunk) => chunks.push(chunk)), signal).catch(
      () => {},
    );
    const ended = signal?.aborted ? 'aborted' : 'exit';
    return { ended, exit: ended === 'exit' ? 0 : null, stdout: Buffer.concat(chunks), stderr: '' };
  }
}
