import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVICES } from '../../sim/guests/services.js';
import { type SimHost, startHost } from '../../sim/index.js';
import { crowdedHost, type Limits, tight } from '../properties/hosts.js';
import { Agent, type Came } from '../support/agent.js';
import { until } from '../support/waiting.js';

/** One host for the tools of the table, and what its operator can do to it. */
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
      // One call at a time, so that one is as many as may be.
      prepare: (root) => tight(root, { concurrent_calls: 1, ...limits }),
    });
    const stage = new Stage(sim, await Agent.of(sim), dir);
    // Once it has answered this, qmcpd has looked around: what is refused from now on is not for want of that.
    await stage.done('qube_list', {});
    return stage;
  }

  async strike(): Promise<void> {
    await this.agent.host.dispose();
    await this.sim.close();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** A call that has to go well. */
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

  /** A call goes on until it is let go, and there may be no other. */
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

  /** Uses up the calls of this minute, in which others may have been used up before. */
  async spend(): Promise<void> {
    while ((await this.agent.call('qube_list', {})).code !== 'rate-limited');
  }

  /** Every call to qubesd about a qube is refused, with words that must not get out. */
  breakQubesd(): () => void {
    const message = 'vault is in lvm:qubes_dom0/vm-vault-private at 10.137.0.9';
    return this.sim.host.faults.add({ method: 'admin.vm.*', error: { type: 'QubesException', message } });
  }

  /** No call gets through to anybody. */
  closePolicy(): () => void {
    const policy = join(this.sim.root, 'etc/qubes/policy.d/30-qmcp.policy');
    const aside = join(this.dir, 'policy');
    renameSync(policy, aside);
    return () => renameSync(aside, policy);
  }

  /** Whoever may call a service inside a qube hears this from it. */
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

  /** Every call to qubesd waits until it is let go; `reached` hears of each. */
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

  /** Whom the calls from now on ask, and whether they have answered. */
  listenIn(): Asked {
    return new Asked(this.sim);
  }

  /** What the operator does in dom0: a method with its `+` and argument. */
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

  /** What a refused call must leave as it was. */
  truth(): ReadonlyMap<string, string> {
    return new Map(this.sim.host.snapshot().qubes.map((qube) => [qube.name, JSON.stringify(qube)]));
  }

  /** Names of the qubes that are not as they were. */
  changedSince(truth: ReadonlyMap<string, string>): string[] {
    const now = this.truth();
    return [...new Set([...truth.keys(), ...now.keys()])].filter((name) => truth.get(name) !== now.get(name));
  }
}

/** Who has been asked by a tool, through qrexec. */
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

  /** Resolves with the one that a call waits for, of that service if it is said; with undefined when the call is over before. */
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
