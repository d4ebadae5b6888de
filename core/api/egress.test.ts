import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ruleOf } from '../../model/rule.js';
import { python as interpreter } from '../../sim/python.js';
import { covers, isRule, networkOf, type Rule } from './egress.js';

const DOM0 = fileURLToPath(new URL('../../dom0', import.meta.url));

/** What dom0's own code says of many cases at once. */
function python(expression: string, cases: unknown): unknown[] {
  const program = `import json, sys
from qmcpd import egress
print(json.dumps([${expression} for case in json.load(sys.stdin)]))`;
  const { status, stdout, stderr } = spawnSync(interpreter(), ['-B', '-c', program], {
    cwd: DOM0,
    input: JSON.stringify(cases),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

const octet = fc.constantFrom(0, 1, 10, 127, 192, 255);
const address4 = fc.tuple(octet, octet, octet, octet).map((bytes) => bytes.join('.'));
const word = fc.constantFrom('0', '1', 'fe80', '2001', 'db8', 'FFFF', 'abcd');
const address6 = fc.oneof(
  fc.array(word, { minLength: 8, maxLength: 8 }).map((words) => words.join(':')),
  fc
    .tuple(fc.array(word, { maxLength: 4 }), fc.array(word, { maxLength: 3 }))
    .map(([head, tail]) => `${head.join(':')}::${tail.join(':')}`),
  address4.map((text) => `::ffff:${text}`),
);
const name = fc.constantFrom(
  'example.org',
  'a.example.org',
  'b.a.example.org',
  'xexample.org',
  'example.net',
);
const place = fc.oneof(
  fc.constantFrom('*', 'dns'),
  name,
  name.map((host) => `*.${host}`),
  address4,
  fc.tuple(address4, fc.integer({ min: 0, max: 33 })).map(([text, bits]) => `${text}/${bits}`),
  fc.tuple(address4, fc.constantFrom('255.0.0.0', '255.255.0.0', '0.0.0.0')).map((pair) => pair.join('/')),
  address6,
  fc.tuple(address6, fc.integer({ min: 0, max: 129 })).map(([text, bits]) => `${text}/${bits}`),
);
const junk = fc.constantFrom(
  '',
  '1',
  '1.2.3',
  '01.2.3.4',
  '1.2.3.4/',
  '1.2.3.4/-1',
  '::1::',
  ':',
  '1:2',
  'a',
  'A.b',
  'a..b',
  '-a.b',
  '*.',
  '*.*',
  '1.2.3.4/8/8',
  'x'.repeat(64),
  '::ffff:1.2.3.400',
  '12345::',
  'example.0',
);
/** Zones, which may be any words at all: what Python takes as an address with one would be words of the firewall. */
const ZONES = [
  'fe80::1%eth0',
  '::%0',
  '::1% action=accept',
  '::1%\naction=accept',
  '::%eth0/0',
  '::1%25a/64',
];
const port = fc.constantFrom(1, 53, 80, 443, 65_535, 65_536);
const rule: fc.Arbitrary<Rule> = fc
  .record(
    {
      to: fc.oneof({ weight: 8, arbitrary: place }, { weight: 1, arbitrary: junk }),
      protocol: fc.constantFrom('tcp', 'udp', 'icmp'),
      ports: fc.oneof(
        port.map(String),
        fc.tuple(port, port).map(([low, high]) => `${low}-${high}`),
        fc.constantFrom('0', '-', '1-', '-1', '1-2-3', '080'),
      ),
    },
    { requiredKeys: ['to'] },
  )
  .map((drawn) => drawn as Rule);
const whole = rule.filter((one) => isRule(one, true));
const sample = <T>(arbitrary: fc.Arbitrary<T>, count: number) =>
  fc.sample(arbitrary, { numRuns: count, seed: 20_240 });

describe('a rule', () => {
  test('a rule, of a qube or of a ceiling, is valid exactly when dom0 accepts it', () => {
    const cases = sample(rule, 4000);
    expect(cases.map((one) => [isRule(one), isRule(one, true)])).toEqual(
      python('[egress.is_rule(case), egress.is_rule(case, True)]', cases),
    );
  });

  test.each(ZONES)('a rule with the address zone of %j is invalid here and in dom0', (to) => {
    const rule = { to };
    expect(networkOf(to)).toBeUndefined();
    expect([isRule(rule), isRule(rule, true)]).toEqual([false, false]);
    expect([isRule({ to: `*.${to}` }, true), covers({ to: '::/0' }, rule)]).toEqual([false, false]);
    expect(python('[egress.is_rule(case), egress.is_rule(case, True)]', [rule])).toEqual([[false, false]]);
  });

  test('a rule covers another exactly when dom0 says so', () => {
    const cases = sample(
      fc.tuple(whole, whole, fc.boolean()).map(([a, b, alike]) => (alike ? [a, { ...b, to: a.to }] : [a, b])),
      8000,
    ) as [Rule, Rule][];
    const ours = cases.map(([outer, inner]) => covers(outer, inner));
    expect(ours).toEqual(python('egress.covers(*case)', cases));
    // The draw is no good when nearly all of it is one answer.
    expect(ours.filter(Boolean).length).toBeGreaterThan(200);
  });

  test('a rule covers itself, and covering is transitive', () => {
    fc.assert(fc.property(whole, (one) => covers(one, one)));
    fc.assert(fc.property(whole, whole, whole, (a, b, c) => !(covers(a, b) && covers(b, c)) || covers(a, c)));
  });

  test('a rule is the same after it is written to the firewall and read back', () => {
    const rules = sample(
      rule.filter((one) => isRule(one)),
      500,
    );
    const lines = python('egress.to_firewall([case]).splitlines()', rules) as string[][];
    for (const [index, [line, last]] of lines.entries()) {
      expect(last).toBe('action=drop');
      const back = ruleOf(line!)!;
      const written = rules[index]!;
      expect([covers(written, back), covers(back, written)]).toEqual([true, true]);
    }
    expect(ruleOf('action=drop')).toBeUndefined();
  });
});

test('two spellings of one address are the same network', () => {
  expect(networkOf('10.1.2.3/8')).toEqual({ version: 4, address: 10n << 24n, prefix: 8 });
  expect(networkOf('10.1.2.3/255.0.0.0')).toEqual(networkOf('10.0.0.0/8'));
  expect(networkOf('::ffff:1.2.3.4')).toEqual(networkOf('0:0:0:0:0:FFFF:102:304'));
  expect(networkOf('2001:db8::')).toEqual(networkOf('2001:0db8:0:0:0:0:0:0/128'));
});
