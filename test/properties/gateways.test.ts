/**
 * No packet of a world's qube gets past the ceiling, whatever features, gateways and upstreams the host has, or the call that would
 * let it is refused. QMCP_SEED=… repeats a run.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { parse, stringify } from 'smol-toml';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { covers, type Rule } from '../../core/api/index.js';
import type { Destination } from '../../sim/network/reach.js';
import { Harness } from '../support/harness.js';
import { SEED } from '../support/seed.js';
import { eventually } from '../support/waiting.js';
import { crowdedHost, tight } from './hosts.js';

const RUNS = 30;
const GATEWAYS = ['sys-ai-net', 'sys-ai-two', 'sys-ai-tor'] as const;
const QUBES = GATEWAYS.map((_, at) => `ai-on-${at}`);
const CEILINGS: Rule[][] = [
  [{ to: '*' }],
  [{ to: 'dns' }, { to: '10.0.0.0/8' }, { to: 'www.example.org', protocol: 'tcp', ports: '443' }],
  [{ to: '2001:db8::/32' }, { to: '10.1.0.0/16', protocol: 'tcp', ports: '80' }],
];
const DESTINATIONS: Destination[] = [
  ['10.1.2.3', 80],
  ['10.2.0.1', 53],
  ['192.168.0.1', 443],
  ['www.example.org', 443],
  ['other.example', 443],
  ['2001:db8::1', 443],
  ['2001:db9::1', 443],
].map(([host, port]) => ({ host: String(host), port: Number(port), protocol: 'tcp' }));

let harness: Harness;
beforeAll(async () => {
  harness = await Harness.start({
    spec: { ...crowdedHost(), machine: { memory: 2 ** 20 } },
    seed: 7,
    prepare: (root) => tight(root, ROOM),
  });
  await operator('admin.vm.feature.Set', 'sys-net', 'ipv6', '1');
  for (const name of GATEWAYS.slice(1)) {
    await operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', `name=${name} label=red`);
    await operator('admin.vm.property.Set', name, 'netvm', 'sys-firewall');
    await operator('admin.vm.property.Set', name, 'provides_network', 'True');
  }
  for (const [at, name] of QUBES.entries()) {
    expect((await spawn(name)).code).toBe('ok');
    await operator('admin.vm.property.Set', name, 'netvm', GATEWAYS[at]);
  }
});
afterAll(() => harness.close());

const ROOM = { qubes: 40, disk: 2 ** 50, running: 40, memory: 2 ** 30, vcpus: 90 };
const operator = (method: string, name: string, argument = '', payload = '') =>
  harness.operator(method, name, argument, payload);
const spawn = (name: string) =>
  harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', network: 'none' });

const features = fc.record({
  'qubes-firewall': fc.constantFrom('1', '1', '', undefined),
  'service.qubes-firewall': fc.constantFrom(undefined, undefined, '1', ''),
  'whonix-gw': fc.constantFrom(undefined, undefined, undefined, '1', ''),
});
const gateway = fc.record({ features, upstream: fc.nat(2) });
const rule = fc.constantFrom<Rule>(
  { to: '*' },
  { to: 'dns' },
  { to: '10.0.0.0/8' },
  { to: '10.1.0.0/16', protocol: 'tcp', ports: '80' },
  { to: 'www.example.org', protocol: 'tcp', ports: '443' },
  { to: '2001:db8::/40' },
  { to: '0.0.0.0/0' },
);
const call = fc.record({
  verb: fc.constantFrom('start', 'start', 'rules', 'rules', 'pause', 'unpause', 'disconnect', 'reconnect'),
  qube: fc.constantFrom(...QUBES),
  rules: fc.array(rule, { maxLength: 2 }),
});
const situation = fc.record({
  template: fc.constantFrom('1', '1', undefined),
  gateways: fc.tuple(gateway, gateway, gateway),
  calls: fc
    .tuple(call, fc.array(call, { minLength: 2, maxLength: 8 }))
    .map(([{ qube, rules }, more]) => [
      { verb: 'start', qube, rules },
      { verb: 'rules', qube, rules },
      ...more,
    ]),
  asked: fc.constantFrom(...DESTINATIONS),
});
type Situation = typeof situation extends fc.Arbitrary<infer S> ? S : never;

async function setFeature(name: string, key: string, value: string | undefined): Promise<void> {
  await operator('admin.vm.feature.Set', name, key, value ?? '');
  if (value === undefined) await operator('admin.vm.feature.Remove', name, key);
}

/** The host as the operator leaves it. Every qube of the world is halted, reaches nothing, and has its gateway as its home. */
async function arrange({ template, gateways }: Situation): Promise<void> {
  for (const [at, name] of QUBES.entries()) {
    const { state } = harness.qube(name)!;
    if (state !== 'Halted') await operator('admin.vm.Kill', name);
    await operator('admin.vm.firewall.Set', name, '', 'action=drop\n');
    await operator('admin.vm.property.Set', name, 'netvm', GATEWAYS[at]);
    await operator('admin.vm.feature.Set', name, 'qmcp-network', GATEWAYS[at]);
  }
  await setFeature('debian-13', 'qubes-firewall', template);
  for (const name of GATEWAYS) await operator('admin.vm.property.Set', name, 'netvm', 'sys-firewall');
  for (const [at, { features, upstream }] of gateways.entries()) {
    const name = GATEWAYS[at]!;
    for (const [key, value] of Object.entries(features)) await setFeature(name, key, value);
    // Behind one that comes later, so that there is no circle.
    const behind = at < upstream ? GATEWAYS[upstream]! : 'sys-firewall';
    if (harness.qube(behind)!.state === 'Halted') await operator('admin.vm.Start', behind);
    await operator('admin.vm.property.Set', name, 'netvm', behind);
  }
}

/** The operator changes the ceiling. Only with a ceiling of everything can a gateway be declared to apply no rules. */
async function declare(ceiling: Rule[]): Promise<void> {
  const path = join(harness.sim.root, 'etc/qmcp/qmcp.toml');
  const config = parse(readFileSync(path, 'utf8')) as { world: { ai: Record<string, unknown> } };
  const filters = (at: number) => ceiling !== CEILINGS[0] || at === 0;
  const gateway = Object.fromEntries(GATEWAYS.map((name, at) => [name, { filters: filters(at) }]));
  Object.assign(config.world.ai, { egress: ceiling, gateway });
  writeFileSync(path, stringify(config));
  await eventually(async () => (await harness.ask('@adminvm', 'qmcp.egress.Status')).result.ceiling).toEqual(
    ceiling,
  );
}

const SERVICES: Record<string, string> = {
  start: 'spawn.Start',
  pause: 'spawn.Pause',
  unpause: 'spawn.Unpause',
  rules: 'egress.RulesSet',
  disconnect: 'networking.Disconnect',
  reconnect: 'networking.Reconnect',
};

/** What `egress_explain` says is what the network does. A name may be looked up or not: that is another question. */
async function explained(qube: string, asked: Destination, seen: Record<string, number>): Promise<void> {
  const { passes } = (await harness.done('egress_explain', { qube, ...asked })).result as { passes: string };
  const found = harness.sim.reach(qube, asked);
  const said = `${passes}: ${found.reached ? 'reached' : found.why}`;
  seen[said] = (seen[said] ?? 0) + 1;
  if (passes === 'yes') expect(['reached', 'unresolved', 'unreachable']).toContain(said.slice(5));
  if (passes === 'no') expect(found.reached).toBe(false);
}

/** Whether some packet gets past the ceiling after some call. Counts the answers. */
async function leaks(
  ceiling: Rule[],
  drawn: Situation,
  seen: Record<string, number>,
  reach = (from: string, to: Destination) => harness.sim.reach(from, to),
): Promise<string | undefined> {
  await arrange(drawn);
  for (const { verb, qube, rules } of drawn.calls) {
    const { code } = await harness.ask(qube, `qmcp.${SERVICES[verb]}`, verb === 'rules' ? { rules } : {});
    seen[code] = (seen[code] ?? 0) + 1;
    for (const from of QUBES.filter((name) => harness.qube(name)!.state === 'Running'))
      for (const to of DESTINATIONS) {
        const asked = { to: to.host, protocol: to.protocol, ports: String(to.port) };
        if (!reach(from, to).reached) continue;
        seen.reached = (seen.reached ?? 0) + 1;
        if (!ceiling.some((one) => covers(one, asked))) return `${verb} ${qube}: ${from} → ${to.host}`;
      }
    if (harness.qube(qube)!.state === 'Running') await explained(qube, drawn.asked, seen);
  }
  return undefined;
}

const seen: Record<string, number> = {};

it.each(CEILINGS.map((ceiling) => [ceiling.map(({ to }) => to).join(', '), ceiling] as const))(
  `no packet gets past the ceiling %s, whatever the gateways are (seed ${SEED})`,
  async (what, ceiling) => {
    await declare(ceiling);
    await fc.assert(
      fc.asyncProperty(situation, async (drawn) => {
        expect(await leaks(ceiling, drawn, seen)).toBeUndefined();
      }),
      { seed: SEED, numRuns: RUNS },
    );
    console.log(`gateways, ${what}: seed ${SEED}`, seen);
  },
);

it('the search for a way past the ceiling saw calls that succeed and are refused, and packets that pass and do not', () => {
  for (const one of [
    'ok',
    'gateway-unusable',
    'not-permitted',
    'reached',
    'yes: reached',
    'no: blocked',
    'unknown: reached',
  ])
    expect(seen[one] ?? 0, one).toBeGreaterThan(0);
});

it.each<[string, (from: string, to: Destination) => boolean]>([
  ['applies no rule', () => true],
  ['lets IPv6 through', (_, { host }) => host.includes(':')],
  ['has applied no rule yet, and forwards meanwhile', (from) => from === QUBES[0]],
])('the search for a way past the ceiling finds a host whose gateway %s', async (_what, opens) => {
  const ceiling = CEILINGS[1]!;
  await declare(ceiling);
  const found = await fc.check(
    fc.asyncProperty(situation, async (drawn) => {
      const mutant = (from: string, to: Destination) =>
        opens(from, to)
          ? { reached: true as const, address: to.host, seen: '' }
          : harness.sim.reach(from, to);
      expect(await leaks(ceiling, drawn, {}, mutant)).toBeUndefined();
    }),
    { seed: SEED, numRuns: RUNS, endOnFailure: true },
  );
  expect(found.failed).toBe(true);
});
