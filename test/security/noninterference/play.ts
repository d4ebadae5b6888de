import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'smol-toml';
import { deviceOf } from '../../../sim/host/populate.js';
import { python } from '../../../sim/python.js';
import { packageFile } from '../../../sim/root.js';
import { Harness } from '../../support/harness.js';
import { ends, until } from '../../support/waiting.js';
import type { Call } from './calls.js';
import { type Change, NEVER, type Pair, type Side, worldOf } from './hosts.js';

const POLICY = '30-qmcp.policy';

/** What an agent can learn from one call: its reply and, by its time, the requests to qubesd. */
export interface Told {
  readonly reply: string;
  readonly asked: readonly string[];
}

/** dom0's files for a host with a second world, `lab`, which has the same rights over its own qubes. */
export class Dom0 {
  readonly qmcp: string;
  private readonly policy: string;

  private constructor(private readonly directory: string) {
    const config = parse(readFileSync(packageFile('dom0/qmcp.toml'), 'utf8')) as {
      world: Record<string, { principal: object }>;
    };
    const ai = { ...config.world.ai!, guarded: ['ai-guarded'], features: ['service.cups'] };
    const [grant] = Object.values(ai.principal);
    const lab = {
      ...ai,
      prefix: 'lab-',
      gateway: { 'sys-lab-net': {} },
      birth_gateway: 'sys-lab-net',
      guarded: [],
      principal: { 'lab-control': grant },
    };
    this.qmcp = join(directory, 'qmcp.toml');
    writeFileSync(this.qmcp, stringify({ ...config, world: { ...config.world, ai, lab } }));
    // The policy that the operator's command generates, in a dom0 with nothing else.
    const root = join(directory, 'dom0');
    const policies = join(root, 'etc/qubes/policy.d');
    mkdirSync(policies, { recursive: true });
    cpSync(packageFile('dom0/contracts'), join(root, 'etc/qmcp/contracts'), { recursive: true });
    copyFileSync(this.qmcp, join(root, 'etc/qmcp/qmcp.toml'));
    const command = packageFile('dom0/operator/qmcp-admin');
    execFileSync(python(), ['-B', command, '--root', root, 'policy', 'install', '--yes'], { stdio: 'pipe' });
    this.policy = readFileSync(join(policies, POLICY), 'utf8');
  }

  static write(): Dom0 {
    return new Dom0(mkdtempSync(join(tmpdir(), 'qmcp-')));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  async start(pair: Pair, side: Side): Promise<Harness> {
    const file = join(this.directory, `${side}.json`);
    writeFileSync(file, JSON.stringify(worldOf(pair, side, this.qmcp)));
    const harness = await Harness.start({
      spec: file,
      prepare: (root) => writeFileSync(join(root, 'etc/qubes/policy.d', POLICY), this.policy),
    });
    // As for the first world: after this answer, qmcpd has scanned for the other one too.
    await harness.call('@adminvm', 'qmcp.inspect.List', {}, 'lab-control');
    return harness;
  }
}

/** Tags with a meaning in one of the worlds: qmcpd looks by itself at a qube that gets or loses one. */
const OF_A_WORLD = /^(ai|lab)-/;
/** An outside qube on both hosts, from which qmcpd takes a tag when it has come as far as that in the events. */
const PROBE = 'probe-of-events';

/** A request after which qmcpd looks at a qube for the other world. */
const TAGS = /^admin\.vm\.(tag\.(Set|Remove)|Create\w*|Remove)\b/;

const isForProbe = (request: string): boolean => request.includes(` name ${PROBE}\0`);

/** Whether qmcpd looks at a qube by itself afterwards. The calls of the other world's agent tag qubes too. */
const causesLooks = (change: Change): boolean =>
  change.do === 'lab' || ((change.do === 'tag' || change.do === 'untag') && OF_A_WORLD.test(change.tag));

/** One of the two hosts at work. */
export class ObservedHost {
  private recorded: string[] | undefined;
  private readonly inside: ReadonlySet<string>;
  private readonly roles: Pair[Side]['roles'];

  private constructor(
    private readonly harness: Harness,
    pair: Pair,
    side: Side,
  ) {
    this.roles = pair[side].roles;
    this.inside = new Set([...pair.inside.map(({ name }) => name), 'ai-debian', 'ai-dvm', ...NEVER]);
    const { host } = harness.sim;
    const call = host.call.bind(host);
    host.call = (request) => {
      this.recorded?.push(harness.named(Buffer.from(request).toString('latin1')));
      return call(request);
    };
    // qubesd draws the numbers of disposables by chance. A difference would show nothing, so both hosts draw the same.
    let dispid = 0;
    host.freeDispid = () => ++dispid;
  }

  static async start(dom0: Dom0, pair: Pair, side: Side): Promise<ObservedHost> {
    const observed = new ObservedHost(await dom0.start(pair, side), pair, side);
    await observed.admin('admin.vm.Create.AppVM', 'dom0', '', `name=${PROBE} label=red`);
    await observed.caughtUp();
    return observed;
  }

  close(): Promise<void> {
    return this.harness.close();
  }

  /** Makes the call, while changes outside happen on this side. */
  async play(call: Call, meanwhile: readonly Change[]): Promise<Told> {
    const { via, service, target, payload } = call;
    // The looks that these cause do not depend on the call: they end before it begins.
    await this.change(meanwhile.filter(causesLooks));
    this.recorded = [];
    const told =
      via === 'policy'
        ? this.harness.call(target, service, payload).then(({ exit, stdout }) => `${exit} ${stdout}`)
        : this.harness.direct(service, target, payload);
    const changed = this.change(meanwhile.filter((change) => !causesLooks(change)));
    const reply = await ends(`${service} on ${target}: ${payload}`, told);
    const asked = this.recorded
      .filter((request) => !isForProbe(request))
      .map((request) => this.seen(request, call));
    this.recorded = undefined;
    await changed;
    if (asked.some((request) => TAGS.test(request))) await this.caughtUp();
    return { reply, asked };
  }

  /** Whether they succeed does not matter here. */
  async change(changes: readonly Change[]): Promise<void> {
    for (const change of changes) {
      const recorded = this.recorded;
      this.recorded = undefined;
      const done = this.carryOut(change);
      this.recorded = recorded;
      await done;
    }
    if (changes.some(causesLooks)) await this.caughtUp();
  }

  /**
   * Waits until qmcpd has looked at everything. It follows each world's events in order. A tag that it takes from a qube for one
   * world is an event for the other one too, so this goes on until nothing but the probe was looked at.
   */
  private async caughtUp(): Promise<void> {
    let requests: string[];
    do {
      requests = this.recorded = [];
      for (const tag of ['ai-born', 'lab-born']) {
        await this.admin('admin.vm.tag.Set', PROBE, tag);
        await until(() => !this.harness.sim.host.find(PROBE)!.tags.has(tag));
      }
    } while (!requests.every(isForProbe));
    this.recorded = undefined;
  }

  private admin(method: string, dest: string, argument = '', payload = ''): Promise<unknown> {
    return this.harness.sim.host.call(Buffer.from(`${method}+${argument} dom0 name ${dest}\0${payload}`));
  }

  private async carryOut(change: Change): Promise<unknown> {
    const { host } = this.harness.sim;
    const admin = this.admin.bind(this);
    switch (change.do) {
      case 'create':
        return admin('admin.vm.Create.AppVM', 'dom0', '', `name=${change.name} label=${change.label}`);
      case 'remove':
        return admin('admin.vm.Remove', change.name);
      case 'tag':
        return admin('admin.vm.tag.Set', change.name, change.tag);
      case 'untag':
        return admin('admin.vm.tag.Remove', change.name, change.tag);
      case 'property':
        return admin('admin.vm.property.Set', change.name, change.key, change.value);
      case 'feature':
        return admin('admin.vm.feature.Set', change.name, change.key, change.value);
      case 'global':
        return admin('admin.property.Set', 'dom0', change.key, this.roles[change.value]);
      case 'plug': {
        const backend = host.find(change.name);
        const device = { class: 'block', port: change.port, name: 'stick' } as const;
        return backend && host.plug(deviceOf(backend, device));
      }
      case 'lab':
        return this.harness.direct(change.service, change.target, change.payload, 'lab-control');
      default:
        return admin(`admin.vm.${change.do}`, change.name);
    }
  }

  /**
   * A request in the form that must be the same on both sides. Names of outside qubes become one word, unless the caller used
   * them, because the other side may have others in their place. So do times, and the tokens with which qubesd clones a volume.
   */
  private seen(request: string, call: Call): string {
    const said = `${call.target} ${call.payload}`;
    return request
      .replace(/(?<![A-Za-z0-9_.-])[A-Za-z][A-Za-z0-9_.-]*/g, (word) => {
        const known = this.inside.has(word) || said.includes(word) || word.startsWith('ai-');
        return known || this.harness.sim.host.find(word) === undefined ? word : '<outside>';
      })
      .replace(/\b1\d{9}\b/g, '<time>')
      .replace(/\0[A-Za-z0-9]{32}$/, '\0<token>');
  }

  /** The actual state of the inside qubes, except for references to the outside. */
  truth(): string[] {
    return this.harness.sim.host
      .snapshot()
      .qubes.filter(({ tags }) => tags.includes('ai-managed') || tags.includes('ai-tombstone'))
      .map((qube) =>
        JSON.stringify({
          name: qube.name,
          class: qube.class,
          state: qube.state,
          tags: qube.tags,
          firewall: qube.firewall,
        }),
      );
  }
}
