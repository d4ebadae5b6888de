import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type SimHost, startHost } from '../../sim/index.js';
import { crowdedHost, type Limits, tight } from '../properties/hosts.js';
import { Agent, type Came } from '../support/agent.js';

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
      world: crowdedHost(),
      dir,
      seed: 7,
      prepare: (root) => tight(root, limits),
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

  /** Makes a call that goes on until it is told to stop. */
  async occupy(): Promise<() => Promise<unknown>> {
    const over = new AbortController();
    let going: Promise<unknown> = Promise.resolve();
    await new Promise<void>((resolve) => {
      const progress = () => resolve();
      going = this.agent.call('event_wait', { seconds: 60 }, { signal: over.signal, progress });
    });
    return () => {
      over.abort();
      return going;
    };
  }

  /** Every call to qubesd about a qube is refused, with words that must not get out. */
  breakQubesd(): () => void {
    const message = 'vault is in lvm:qubes_dom0/vm-vault-private at 10.137.0.9';
    return this.sim.host.faults.add({ method: 'admin.vm.*', error: { type: 'QubesException', message } });
  }

  /** Every call to qubesd waits until it is let go. */
  hold(): () => void {
    const { host } = this.sim;
    const original = host.call.bind(host);
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    host.call = async (request) => {
      await gate;
      return original(request);
    };
    return () => {
      host.call = original;
      release();
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
