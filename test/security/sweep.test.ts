/**
 * Kills qmcpd at every one of its calls to qubesd, in every verb: before qubesd gets the call, and after it was carried out. Or
 * qmcpd lives, and qubesd refuses that call, in words that no agent may see. After its restart, qmcpd finishes or undoes the
 * effect: it is complete or absent. A new verb is an entry in sweep/verbs.ts.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { installedContracts } from './noninterference/calls.js';
import { VERBS, type Verb } from './sweep/verbs.js';

type When = 'before' | 'after' | 'refused';

/** Each verb is interrupted at a share of its points, drawn again in every run; QMCP_SWEEP=all interrupts it at all of them. */
const SHARE = process.env.QMCP_SWEEP === 'all' ? Number.POSITIVE_INFINITY : 12;
const SEED = Number(process.env.QMCP_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** At most SHARE of these, evenly spread. */
function drawn<T>(all: readonly T[]): T[] {
  const step = Math.max(1, all.length / SHARE);
  return all.filter(
    (_, at) =>
      Math.floor((at + (SEED % 997) / 997) / step) !== Math.floor((at - 1 + (SEED % 997) / 997) / step),
  );
}

const changing = installedContracts()
  .filter(({ route, effect }) => route === 'dom0' && effect !== 'read')
  .map(({ service }) => service);
const verbs = Object.entries(VERBS).filter(([, { service }]) => changing.includes(service));

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});

/** Words of qubesd's errors that no reply may contain. */
const SECRET = 'vault and sys-firewall are in varlibqubes:/var/lib/qubes at 10.137.0.9';
const LEAK = /vault|firewall|varlibqubes|10\.137|Error|Traceback|Exception/;

/** Kills qmcpd at its nth Admin API call from now. `asked` has the calls so far, `killed` says whether it happened. */
function killAt(at: Harness, nth: number, when: When) {
  const { host } = at.sim;
  const original = host.call.bind(host);
  const seen = { asked: [] as string[], killed: false };
  host.call = async (request) => {
    seen.asked.push(Buffer.from(request).toString('latin1').split('\0')[0]!);
    if (seen.asked.length !== nth) return original(request);
    seen.killed = true;
    if (when === 'refused') return Buffer.from(`2\0QubesException\0Traceback: ${SECRET}\0${SECRET}\0`);
    if (when === 'before') {
      await at.sim.qmcpd.kill();
      return new Uint8Array();
    }
    const reply = await original(request);
    await at.sim.qmcpd.kill();
    return reply;
  };
  return { seen, stop: () => (host.call = original) };
}

/** Values that differ between two equal runs: serial numbers and times. */
const DRAWN = new Set(['qid', 'uuid', 'xid', 'ip', 'ip6', 'mac', 'visible_ip', 'start_time', 'stubdom_xid']);

/** The host's actual state, name by name, as text for comparison. */
function truth(at: Harness): Map<string, string> {
  const shown = at.sim.host.snapshot().qubes.map((qube): [string, string] => {
    const properties = Object.entries(qube.properties).filter(([key]) => !DRAWN.has(key));
    const features = Object.entries(qube.features).map(([key, value]) => [
      key,
      value.replace(/\b1\d{9}\b/g, 'TIME'),
    ]);
    const sorted = (pairs: (readonly unknown[])[]) => pairs.map((pair) => pair.join('=')).sort();
    return [
      qube.name,
      JSON.stringify({
        ...qube,
        tags: [...qube.tags].sort(),
        properties: sorted(properties),
        features: sorted(features),
        attached: attached(at, qube.name),
      }),
    ];
  });
  return new Map(shown);
}

const attached = (at: Harness, name: string) =>
  [...(at.sim.host.find(name)?.devices.attached.values() ?? [])]
    .flat()
    .map(({ device }) => `${device.backend.name}:${device.port}`)
    .sort();

const TIERS = ['exec', 'net', 'full'];

/**
 * The world's authority over each qube, as a set: the tiers at which it may use it, and what a qube reaches that runs or that it
 * may start. A qube that belongs to nobody has none, whatever it will become.
 */
function powers(at: Harness): Map<string, ReadonlySet<string>> {
  const found = at.sim.host.snapshot().qubes.map((qube): [string, ReadonlySet<string>] => {
    const has = (tag: string) => qube.tags.includes(tag);
    // A disposable has all tags of its template from the start: its own mark decides, for the kernel and for the policy.
    const finished =
      qube.class === 'DispVM'
        ? qube.tags.some((tag) => tag.startsWith('ai-disp-'))
        : has('ai-born') || !has('created-by-mcp-control');
    const ours = has('ai-managed') && !has('ai-tombstone') && finished;
    const tier = Math.max(...TIERS.map((one, height) => (has(`ai-${one}`) ? height : -1)));
    const up = qube.state !== 'Halted';
    const { netvm } = qube.properties;
    return [
      qube.name,
      new Set([
        ...(ours ? ['read', ...TIERS.slice(0, tier + 1)] : []),
        ...((ours || up) && netvm ? [`network ${netvm}`] : []),
        ...((ours || up) && netvm
          ? [`reaches ${qube.firewall.filter((rule) => rule !== 'action=drop')}`]
          : []),
        ...(ours || up ? attached(at, qube.name).map((device) => `device ${device}`) : []),
      ]),
    ];
  });
  return new Map(found);
}

const within = (some: ReadonlySet<string> = new Set(), all: ReadonlySet<string> = new Set()) =>
  [...some].every((power) => all.has(power));

/** The qubes over which the world now has authority that it had neither before nor would have afterwards. */
function excess(now: ReturnType<typeof powers>, ...allowed: ReturnType<typeof powers>[]): string[] {
  return [...now].flatMap(([name, has]) =>
    allowed.some((each) => within(has, each.get(name))) ? [] : [`${name}: ${[...has].join(', ')}`],
  );
}

function differences(one: Map<string, string>, other: Map<string, string>): string {
  const names = new Set([...one.keys(), ...other.keys()]);
  return [...names]
    .filter((name) => one.get(name) !== other.get(name))
    .map((name) => `${name}:\n    ${one.get(name)}\n    ${other.get(name)}`)
    .join('\n');
}

async function prepared(verb: Verb): Promise<Harness> {
  harness = await Harness.start({ prepare: verb.configure });
  await verb.prepare?.(harness);
  await harness.sim.host.idle();
  return harness;
}

async function leave(): Promise<void> {
  await harness?.close();
  harness = undefined;
}

// ATTACK 11, ATTACK 12, ATTACK 21
describe('qmcpd is killed before or after any of its calls to qubesd', () => {
  const points: Record<string, number> = {};

  for (const [name, verb] of verbs) {
    it(`the effect is complete or absent, and never more authority in between: ${name}`, async () => {
      const at = await prepared(verb);
      const before = { truth: truth(at), powers: powers(at) };
      const { seen, stop } = killAt(at, Number.POSITIVE_INFINITY, 'before');
      await verb.call(at);
      stop();
      await at.sim.host.idle();
      const after = { truth: truth(at), powers: powers(at) };
      const qubes = new Map(at.sim.host.snapshot().qubes.map((qube) => [qube.name, qube]));
      expect(
        verb.whole((one) => qubes.get(one)),
        differences(before.truth, after.truth),
      ).toBe(true);
      await leave();

      const wrong: string[] = [];
      const outcomes = { none: 0, whole: 0 };
      const everywhere = seen.asked.flatMap((asked, index) =>
        (['before', 'after', 'refused'] as const).map((when) => ({ asked, index, when })),
      );
      const cuts = drawn(everywhere);
      for (const { asked, index, when } of cuts) {
        const here = await prepared(verb);
        const cut = killAt(here, index + 1, when);
        const told = JSON.stringify(await verb.call(here));
        cut.stop();
        expect(cut.seen.killed).toBe(true);
        const more = excess(powers(here), before.powers, after.powers);
        if (when !== 'refused') await here.sim.qmcpd.restart();
        await here.sim.host.idle();
        const now = truth(here);
        const [less, whole] = [differences(now, before.truth), differences(now, after.truth)];
        const place = `${when === 'refused' ? when : `killed ${when}`} call ${index + 1}, ${asked}`;
        if (LEAK.test(told)) wrong.push(`${place}: was told ${told}`);
        if (told.includes('\\"ok\\":true') && whole !== '')
          wrong.push(`${place}: was told ${told}, by\n  ${whole}`);
        if (more.length > 0) wrong.push(`${place}: in between, more authority: ${more.join('; ')}`);
        if (less === '') outcomes.none += 1;
        else if (whole === '') outcomes.whole += 1;
        else wrong.push(`${place}: neither none, by\n  ${less}\n  nor the whole, by\n  ${whole}`);
        const { stdout } = await here.call('@adminvm', 'qmcp.inspect.List');
        if (!stdout.includes('"ok":true')) wrong.push(`${place}: is not back: ${stdout}`);
        await leave();
      }
      expect(wrong).toEqual([]);
      points[name] = cuts.length;
      console.log(
        `${name}: ${cuts.length} of ${everywhere.length} points; none: ${outcomes.none}, whole: ${outcomes.whole}`,
      );
    }, 300_000);
  }

  it('the sweep covers every service that changes anything', () => {
    console.log(
      `crash sweep: ${Object.values(points).reduce((sum, each) => sum + each, 0)} points at which qmcpd was killed or refused, seed ${SEED}`,
    );
    // dom0's action for a service follows from its contract alone, except for its own name and its plugin's.
    const contracts = new Map(installedContracts().map((one) => [one.service, one]));
    const done = (name: string) => JSON.stringify({ ...contracts.get(name), service: '', plugin: '' });
    const swept = new Set(Object.values(VERBS).map(({ service }) => done(service)));
    const missing = changing.filter((service) => !swept.has(done(service)));
    expect(missing, 'give each an entry in test/security/sweep/verbs.ts').toEqual([]);
  });
});
