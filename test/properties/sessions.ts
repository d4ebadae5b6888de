import fc from 'fast-check';
import type { Tool } from '../../core/api/index.js';
import { CHECKS, type Check, checkOf, structureUnchanged } from '../../model/invariants.js';
import type { HostSnapshot } from '../../model/snapshot.js';
import { BUILT_IN } from '../../plugins/index.js';
import type { Fault } from '../../sim/host/faults.js';
import type { Outcome } from '../support/agent.js';
import { Harness } from '../support/harness.js';
import { abortAtRequest, freeze } from '../support/interference.js';
import { type Known, valuesOf } from '../support/values.js';
import { crowdedHost, NAMES, tight } from './hosts.js';

/** One action of an agent, with a fault during it. */
export interface Step {
  readonly tool: string;
  readonly input: unknown;
  /** dom0 answers as if the policy allowed everything. */
  readonly pastPolicy: boolean;
  /** The request to qubesd at which the client cancels the call. */
  readonly cancelAt: number | undefined;
  readonly fault: Fault | undefined;
  /** The operator's action before it. */
  readonly operator: 'freeze' | 'thaw' | undefined;
  /** With this tag the operator restricts the qube of the call, or removes every such tag from it. */
  readonly narrows: Narrowing | 'free' | undefined;
}

const NARROWINGS = ['ai-egress-lock', 'anon-vm', 'ai-guard'] as const;
type Narrowing = (typeof NARROWINGS)[number];

const TOOLS: readonly Tool[] = BUILT_IN.flatMap(({ tools }) => tools);

const name = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('ai-one', 'ai-two') },
  { weight: 12, arbitrary: fc.constantFrom(...NAMES.inside) },
  { weight: 3, arbitrary: fc.constantFrom('ai-a', 'ai-b', 'ai-c') },
  { weight: 3, arbitrary: fc.constantFrom(...NAMES.never) },
);
const rule = fc.constantFrom(
  { to: 'dns' },
  { to: '10.1.0.0/16' },
  { to: 'www.example.org', protocol: 'tcp', ports: '443' },
  { to: '10.0.0.1', protocol: 'udp', ports: '1-65535' },
  { to: 'www.example.org', protocol: 'tcp', ports: '80' },
  { to: '192.168.0.1' },
  { to: '*' },
);
const port = fc.constantFrom('sda', 'sdb', 'sdv');
const word = fc.constantFrom('x-note', 'service.cups', 'tag-created-vm-with', 'ai-full', 'one', '');

/** Interesting values for names, sizes and times: existing ones, ones near a limit, and short ones. */
const KNOWN: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  ...{ qube: name, source: name, backend: name, target: name },
  template: fc.oneof(name, fc.constantFrom('ai-debian', 'ai-dvm')),
  name: fc.constantFrom(...NAMES.free),
  device: port,
  rules: fc.array(rule, { maxLength: 3 }),
  host: fc.constantFrom('10.0.0.1', 'www.example.org', 'dns', '192.168.0.0/16'),
  feature: word,
  // Not a tag: an agent gets its own words back, and that is no leak.
  value: fc.constantFrom('one', 'x-note', '', null),
  memory: fc.constantFrom(400, 4000, 30_000),
  maxmem: fc.constantFrom(400, 4000, 30_000),
  vcpus: fc.constantFrom(1, 2, 16),
  private_size: fc.constantFrom(2 ** 30, 3 * 2 ** 30, 5 * 2 ** 30),
  size: fc.constantFrom(2 ** 30, 3 * 2 ** 30, 5 * 2 ** 30),
  ...{ seconds: fc.constant(1), timeout: fc.constant(1), wait: fc.constant(0) },
  command: fc.constantFrom('id', 'echo hello > /home/user/note', 'cat /home/user/note'),
  ...{ cwd: fc.constant('/home/user'), user: fc.constant('user'), stdin: fc.constant('') },
  path: fc.constantFrom('/home/user/note', '/home/user', '/etc/hosts'),
  packages: fc.constant(['hello']),
  handle: fc.constant('none'),
  background: fc.constant(false),
};
const known: Known = (property) => KNOWN[property];
/** Arguments that fit a tool. */
export const inputOf = (tool: Tool): fc.Arbitrary<unknown> => valuesOf(tool.input, known);

/** The actions that a restricted qube must refuse, or whose restriction it must pass on. */
const NARROWED = /^(qube_(spawn|clone)|disposable_spawn|egress_rules_set|network_(dis|re)connect)$/;
/** The tools of a session with one subject. */
export const NARROWED_TOOLS = TOOLS.filter(({ name }) => NARROWED.test(name));
/** Calls that wait or work longer are drawn less often. */
const SLOW = /^(event_wait|package_install|disposable_run)$/;

const METHODS = [
  ...['admin.vm.*', 'admin.vm.tag.*', 'admin.vm.property.*', 'admin.vm.feature.*', 'admin.vm.firewall.*'],
  ...['admin.vm.Start', 'admin.vm.volume.*', 'admin.vm.device.*', 'admin.vm.Create*', 'admin.vm.Remove'],
];
const fault: fc.Arbitrary<Fault> = fc
  .tuple(
    fc.constantFrom(...METHODS),
    fc.nat(12),
    fc.constantFrom<Partial<Fault>>(
      { error: { type: 'QubesException', message: 'vault is in lvm:qubes_dom0/vm-vault-private' } },
      { drop: 'before' },
      { drop: 'after' },
    ),
  )
  .map(([method, after, what]) => ({ method, after, count: 1, ...what }));
const rarely = <T>(arbitrary: fc.Arbitrary<T>, oneIn: number) =>
  fc.oneof({ weight: oneIn - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

const narrows = fc.oneof(
  { weight: 4, arbitrary: fc.constant(NARROWINGS[0]) },
  { weight: 2, arbitrary: fc.constantFrom(NARROWINGS[1], 'free' as const) },
  { weight: 1, arbitrary: fc.constant(NARROWINGS[2]) },
);

const stepOf = (tool: Tool, narrowed: number): fc.WeightedArbitrary<Step> => ({
  weight: SLOW.test(tool.name) ? 1 : tool.effect === 'read' ? 3 : 12,
  arbitrary: fc.record({
    tool: fc.constant(tool.name),
    input: inputOf(tool),
    pastPolicy: fc.boolean(),
    cancelAt: SLOW.test(tool.name) ? fc.nat(20) : rarely(fc.nat(20), 30),
    fault: rarely(fault, 5),
    operator: rarely(fc.constantFrom('freeze' as const, 'thaw' as const), 40),
    narrows: rarely(narrows, narrowed),
  }),
});

/** A session of an agent. Each has some of the tools, so that their effects sometimes combine. */
export const sessions = (tools: readonly Tool[] = TOOLS): fc.Arbitrary<readonly Step[]> =>
  fc.subarray([...tools], { minLength: 5, maxLength: Math.min(9, tools.length) }).chain((some) =>
    fc.array(
      fc.oneof<fc.WeightedArbitrary<Step>[]>(
        ...some.map((tool) => stepOf(tool, tools === NARROWED_TOOLS ? 2 : 20)),
      ),
      {
        minLength: 6,
        maxLength: 20,
        size: 'max',
      },
    ),
  );

/** Exceptions for a call that could not be undone at once, until it is: a half-made disposable has its template's tier. */
const WHEN_SETTLED = new Set([
  'crash.no-residue',
  'birth.tagged-before-named',
  'tiers.no-escalation',
  'remove.is-a-tombstone',
]);
/** A client that cancelled sees the host during the call: its outcome is not written yet. */
const UNDER_WAY = new Set([...WHEN_SETTLED, 'audit.complete']);
/** A killed qmcpd leaves only the intent; an effect that cannot be undone (a bigger disk) may have happened by then. */
const CUT_SHORT = new Set(['audit.complete']);

/** A session on a host; after every call, the invariants are checked. */
class SessionRun {
  readonly codes: Record<string, number> = {};
  private thaw: (() => void) | undefined;

  constructor(private readonly harness: Harness) {}

  /** The invariants that a step broke, by id, and the outcome of the call. */
  async play(step: Step): Promise<{ broken: string[]; outcome: Outcome }> {
    const { sim } = this.harness;
    this.operate(step.operator);
    await this.narrow(step);
    const before = sim.snapshot();
    const removeFault = step.fault && sim.host.faults.add(step.fault);
    const { signal, restore } = abortAtRequest(this.harness, step.cancelAt);
    const { pastPolicy } = step;
    const outcome = await this.harness.tool(step.tool, step.input, { pastPolicy, signal });
    restore();
    removeFault?.();
    const key = `${step.tool} ${outcome.code}`;
    this.codes[key] = (this.codes[key] ?? 0) + 1;
    const underWay = signal.aborted;
    const unfinished = outcome.data?.unfinished === true || underWay;
    const except = underWay ? UNDER_WAY : unfinished ? WHEN_SETTLED : new Set<string>();
    const broken = await this.brokenSince(before, step.tool, except);
    if (unfinished) {
      // When qmcpd starts, it finishes what was left undone before it answers anybody.
      await sim.qmcpd.restart();
      const cutShort = underWay && this.hasIntentSince(before);
      broken.push(...(await this.brokenSince(before, step.tool, cutShort ? CUT_SHORT : new Set())));
    }
    return { broken, outcome };
  }

  /** The audit log has had an intent since. */
  private hasIntentSince(before: HostSnapshot): boolean {
    const { audit } = this.harness.sim.snapshot().dom0!;
    return audit.slice(before.dom0!.audit.length).some(({ kind }) => kind === 'intent');
  }

  private async brokenSince(
    before: HostSnapshot,
    tool: string,
    except: ReadonlySet<string>,
  ): Promise<string[]> {
    const after = this.harness.sim.snapshot();
    const world = this.harness.world();
    const { upholds } = (await this.harness.agent()).definition(tool);
    // Only tools that run something inside a qube declare this one.
    const inside = upholds.some(({ id }) => id === structureUnchanged.id) ? [structureUnchanged] : [];
    const checks: readonly Check[] = [...CHECKS, ...upholds.map(checkOf), ...inside];
    const broken = checks.filter(({ id, holds }) => !except.has(id) && !holds(before, after, world));
    return [...new Set(broken.map(({ id }) => id))];
  }

  private async narrow({ input, narrows }: Step): Promise<void> {
    const { qube, source, template } = input as Record<string, string | undefined>;
    const name = qube ?? source ?? template;
    if (name === undefined || narrows === undefined) return;
    const [verb, tags] = narrows === 'free' ? ['Remove', NARROWINGS] : ['Set', [narrows]];
    // If there is no such qube, or no such tag on it, there is nothing to do.
    for (const tag of tags)
      await this.harness.sim.host.call(Buffer.from(`admin.vm.tag.${verb}+${tag} dom0 name ${name}\0`));
  }

  private operate(action: Step['operator']): void {
    if (action === 'freeze') this.thaw ??= freeze(this.harness);
    if (action !== 'thaw') return;
    this.thaw?.();
    this.thaw = undefined;
  }
}

/** The first step of a session that breaks something, in words; undefined if none does. */
export async function broken(
  session: readonly Step[],
  codes: Record<string, number> = {},
): Promise<string | undefined> {
  const harness = await Harness.start({ spec: crowdedHost(), seed: 7, prepare: tight });
  await harness.agent(); // it connects before anything is frozen or fails
  const run = new SessionRun(harness);
  try {
    for (const [at, step] of session.entries()) {
      const { broken, outcome } = await run.play(step);
      if (broken.length > 0)
        return `step ${at} breaks ${broken.join(', ')}\n${JSON.stringify(step)}\n→ ${JSON.stringify(outcome)}`;
    }
    return undefined;
  } finally {
    for (const [key, count] of Object.entries(run.codes)) codes[key] = (codes[key] ?? 0) + count;
    await harness.close();
  }
}
