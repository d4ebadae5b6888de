import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVICES } from '../../sim/guests/services.js';
import { type SimHost, startHost } from '../../sim/index.js';
import { crowdedHost, type Limits, tight } from '../properties/hosts.js';
import { Agent, type Came } from '../support/agent.js';
import { until } from '../support/waiting.js';

/** One host for the tools of the table, and its operator's actions. */
export class Stage {
  private constructor(
    readonly sim: SimHost,
    readonly agent: Agent,
    private readonly dir: string,
  ) {}

  static async set(limits: Limits = {}): Promise<Stage> {
    const dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
    const sim = await startHost({
      spec: crowdedHost(),
      dir,
      seed: 7,
      // One call at a time, so that one call reaches the limit.
      prepare: (root) => tight(root, { concurrent_calls: 1, ...limits }),
    });
    const stage = new Stage(sim, await Agent.of(sim), dir);
    // After this answer, qmcpd has scanned: later refusals have another reason.
    await stage.done('qube_list', {});
    return stage;
  }

  async strike(): Promise<void> {
    await this.agent.host.dispose();
    await this.sim.close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** A call that must succeed. */
  async done(tool: string, input: unknown): Promise<Came> {
    const came = await this.agent.call(tool, input);
    if (came.code !== 'ok') throw new Error(`${tool} ${JSON.stringify(input)}: ${came.code}`);
    return came;
  }

  freeze(): () => void {
    const folder = join(this.sim.root, 'var/lib/qmcp/frozen');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'ai'), '');
    return () => rmSync(join(folder, 'ai'));
  }

  /** A call stays in progress until it is released, and there may be no other. */
  async occupy(): Promise<() => Promise<void>> {
    let release = () => {};
    let going: Promise<unknown> = Promise.resolve();
    await new Promise<void>((reached) => {
      release = this.hold(reached);
      going = this.agent.call('qube_list', {});
    });
    return async () => {
      release();
      await going;
    };
  }

  /** Uses up the calls of this minute; others may have been used before. */
  async spend(): Promise<void> {
    while ((await this.agent.call('qube_list', {})).code !== 'rate-limited');
  }

  /** qubesd refuses every call about a qube, in words that must not reach the agent. */
  breakQubesd(): () => void {
    const message = 'vault is in lvm:qubes_dom0/vm-vault-private at 10.137.0.9';
    return this.sim.host.faults.add({ method: 'admin.vm.*', error: { type: 'QubesException', message } });
  }

  /** No call reaches anybody. */
  closePolicy(): () => void {
    const policy = join(this.sim.root, 'etc/qubes/policy.d/30-qmcp.policy');
    const aside = join(this.dir, 'policy');
    renameSync(policy, aside);
    return () => renameSync(aside, policy);
  }

  /** Every call of a service inside a qube gets this answer. */
  answerForQubes(said: Uint8Array): () => void {
    const { qrexec } = this.sim;
    const original = qrexec.call.bind(qrexec);
    qrexec.call = async (call, io) => {
      const answers = Object.hasOwn(SERVICES, call.service) && qrexec.allows({ ...call, argument: '' });
      if (!answers) return original(call, io);
      io.stdout(said);
      return 0;
    };
    return () => {
      qrexec.call = original;
    };
  }

  /** Every call to qubesd waits until it is released; `reached` is told of each. */
  hold(reached = () => {}): () => void {
    const { host } = this.sim;
    const original = host.call.bind(host);
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    host.call = async (request) => {
      reached();
      await gate;
      return original(request);
    };
    return () => {
      host.call = original;
      release();
    };
  }

  /** The services that later calls use, and whether they have answered. */
  listenIn(): Asked {
    return new Asked(this.sim);
  }

  /** An action of the operator in dom0: a method with its `+` and argument. */
  async operate(method: string, qube: string, payload = ''): Promise<void> {
    const call = `${method} dom0 name ${qube}\0${payload}`;
    const reply = Buffer.from(await this.sim.host.call(Buffer.from(call)));
    if (!reply.toString().startsWith('0\0')) throw new Error(`${method} ${qube}: ${reply}`);
  }

  /** The operator pauses that qube as soon as it has started. */
  pauseOnceStarted(qube: string): void {
    const { host } = this.sim;
    const original = host.call.bind(host);
    host.call = async (request) => {
      const reply = await original(request);
      if (Buffer.from(request).toString().startsWith(`admin.vm.Start+ dom0 name ${qube}\0`)) {
        host.call = original;
        await this.operate('admin.vm.Pause+', qube);
      }
      return reply;
    };
  }

  /** The state that a refused call must not change. */
  truth(): ReadonlyMap<string, string> {
    return new Map(this.sim.host.snapshot().qubes.map((qube) => [qube.name, JSON.stringify(qube)]));
  }

  /** The names of changed qubes. */
  changedSince(truth: ReadonlyMap<string, string>): string[] {
    const now = this.truth();
    return [...new Set([...truth.keys(), ...now.keys()])].filter((name) => truth.get(name) !== now.get(name));
  }
}

/** The services that a tool has called through qrexec. */
export class Asked {
  private readonly all: { readonly service: string; answered: boolean }[] = [];
  readonly forget: () => void;

  constructor({ qrexec }: SimHost) {
    const original = qrexec.call.bind(qrexec);
    qrexec.call = async (call, io) => {
      const one = { service: call.service, answered: false };
      this.all.push(one);
      const exit = await original(call, io);
      one.answered = !io.signal.aborted;
      return exit;
    };
    this.forget = () => {
      qrexec.call = original;
    };
  }

  /** Resolves with the service for which a call waits (the given one, if any), or with undefined when the call ends first. */
  async waitedFor(
    calling: Promise<unknown>,
    service?: string,
  ): Promise<{ readonly answered: boolean } | undefined> {
    let over = false;
    calling.then(() => {
      over = true;
    });
    const waiting = () => this.all.find((one) => !one.answered && one.service === (service ?? one.service));
    await until(() => over || waiting());
    return over ? undefined : waiting();
  }
}
