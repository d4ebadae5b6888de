/**
 * Compares what `egress_explain` says with what the network then does, for any rules, host, port and protocol. QMCP_SEED=…
 * repeats a run.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { SEED } from '../support/seed.js';
import { crowdedHost, tight } from './hosts.js';

const RUNS = 150;

let harness: Harness;
beforeAll(async () => {
  harness = await Harness.start({ spec: crowdedHost(), seed: 7, prepare: tight });
});
afterAll(async () => {
  await harness.close();
});

const ports = fc.constantFrom('443', '80', '53', '1-1024', '1-65535');
/** Within the ceiling of the host. */
const rule = fc.oneof(
  fc.constant({ to: 'dns' }),
  fc.constant({ to: 'www.example.org', protocol: 'tcp', ports: '443' }),
  fc.constantFrom('10.0.0.0/9', '10.128.0.0/16', '10.0.0.1', '10.139.1.1').map((to) => ({ to })),
  fc.record({
    to: fc.constantFrom('10.0.0.0/8', '10.0.0.1'),
    protocol: fc.constantFrom('tcp', 'udp'),
    ports,
  }),
);
const question = fc.record({
  qube: fc.constantFrom('ai-one', 'ai-one', 'ai-one', 'ai-alone', 'ai-two'),
  host: fc.constantFrom(
    '10.0.0.1',
    '10.128.0.7',
    '10.139.1.1',
    '192.168.0.1',
    'www.example.org',
    'other.example',
  ),
  port: fc.constantFrom(443, 80, 53, 8080),
  protocol: fc.constantFrom('tcp' as const, 'udp' as const),
});

it(`egress_explain predicts what a packet does (seed ${SEED})`, async () => {
  const seen: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(fc.array(rule, { maxLength: 4 }), question, async (rules, asked) => {
      await harness.done('egress_rules_set', { qube: 'ai-one', rules });
      const { passes } = (await harness.done('egress_explain', asked)).result as { passes: string };
      const reach = harness.sim.reach(asked.qube, asked);
      const name = /[a-z]/.test(asked.host);
      seen[`${passes} ${reach.reached}`] = (seen[`${passes} ${reach.reached}`] ?? 0) + 1;
      // Packets to a name that cannot be looked up are not sent: that is the rule `dns`, and another question.
      if (passes === 'yes')
        expect(reach).toMatchObject(reach.reached ? {} : { why: name ? 'unresolved' : 'reached' });
      else if (passes === 'no') expect(reach.reached).toBe(false);
      // For one host, port and protocol, the answer is yes or no; it may depend only on the addresses of a name.
      else expect([passes, name || rules.some(({ to }) => /[a-z]/.test(to))]).toEqual(['unknown', true]);
    }),
    { seed: SEED, numRuns: RUNS },
  );
  console.log(`egress: seed ${SEED}`, seen);
  expect(seen['yes true']).toBeGreaterThan(5);
  expect(seen['no false']).toBeGreaterThan(5);
});

it('a rule beyond the ceiling is named in the refusal, and no rule is set', async () => {
  await harness.done('egress_rules_set', { qube: 'ai-one', rules: [{ to: '10.0.0.1' }] });
  const beyond = { to: '192.168.0.1', protocol: 'tcp', ports: '80' };
  const before = harness.states();
  const rules = [{ to: '10.1.0.0/16' }, beyond, { to: '*' }];
  const came = await harness.tool('egress_rules_set', { qube: 'ai-one', rules });
  expect(came).toEqual({ code: 'not-permitted', data: { rule: beyond } });
  expect(harness.changedSince(before)).toEqual([]);
});
