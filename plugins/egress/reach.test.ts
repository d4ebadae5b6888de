import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { covers, isRule, networkOf, type Rule } from '../../core/api/index.js';
import { meets, questionOf, reach } from './reach.js';

const address = fc
  .tuple(...Array.from({ length: 4 }, () => fc.constantFrom(0, 1, 10, 192)))
  .map((b) => b.join('.'));
const place = fc.oneof(
  fc.constantFrom('*', 'dns', 'example.org', 'a.example.org', '*.example.org', '::1', '2001:db8::/32'),
  address,
  fc.tuple(address, fc.constantFrom(0, 8, 16, 31, 32)).map(([text, bits]) => `${text}/${bits}`),
);
const rule: fc.Arbitrary<Rule> = fc
  .record(
    {
      to: place,
      protocol: fc.constantFrom('tcp', 'udp', 'icmp'),
      ports: fc.constantFrom('53', '80', '443', '80-443', '1-65535'),
    },
    { requiredKeys: ['to'] },
  )
  .map((drawn) => drawn as Rule)
  .filter((one) => isRule(one, true));
const rules = fc.array(rule, { maxLength: 5 });
const question = fc
  .tuple(
    fc.constantFrom('dns', 'example.org', 'a.example.org', 'example.net', '10.0.0.1', '192.1.0.0/16', '::1'),
    fc.option(fc.constantFrom(53, 80, 443, 8080), { nil: undefined }),
    fc.option(fc.constantFrom('tcp' as const, 'udp' as const, 'icmp' as const), { nil: undefined }),
  )
  // Only icmp goes without a port, and only dns with its own.
  .filter(([host, port, protocol]) =>
    host === 'dns' ? (port ?? 53) === 53 && protocol !== 'icmp' : port === undefined || protocol !== 'icmp',
  )
  .map((words) => questionOf(...words));
const GRADE = { no: 0, unknown: 1, partly: 2, yes: 3 } as const;

describe('reach', () => {
  test('without rules, no packet passes', () => {
    fc.assert(fc.property(question, (asked) => reach([], asked).passes === 'no'));
  });

  test('all packets pass exactly when one rule covers them, and the verdict names that rule', () => {
    fc.assert(
      fc.property(rules, question, (some, asked) => {
        const verdict = reach(some, asked);
        if (verdict.passes === 'yes') return covers(some[verdict.rule]!, asked);
        return !some.some((one) => covers(one, asked));
      }),
    );
  });

  test('an additional rule never makes a verdict worse, wherever it is added', () => {
    fc.assert(
      fc.property(rules, rule, fc.nat(5), question, (some, one, at, asked) => {
        const more = some.toSpliced(at, 0, one);
        return GRADE[reach(more, asked).passes] >= GRADE[reach(some, asked).passes];
      }),
    );
  });

  test('a wider rule never drops packets that a rule within it allows', () => {
    fc.assert(
      fc.property(rule, rule, question, (wide, narrow, asked) => {
        if (!covers(wide, narrow) || reach([narrow], asked).passes === 'no') return true;
        return reach([wide], asked).passes !== 'no';
      }),
      { numRuns: 5000 },
    );
  });

  test('a covered rule overlaps, and overlapping is symmetric', () => {
    fc.assert(fc.property(rule, rule, (a, b) => !covers(a, b) || meets(a, b) !== false));
    fc.assert(fc.property(rule, rule, (a, b) => meets(a, b) === meets(b, a)));
  });

  test('two networks overlap exactly when one contains the first address of the other', () => {
    const network = fc.tuple(address, fc.constantFrom(0, 8, 16, 31, 32)).map((pair) => pair.join('/'));
    fc.assert(
      fc.property(network, network, (one, other) => {
        const [a, b] = [networkOf(one)!, networkOf(other)!];
        const holds = (wide: typeof a, { address: first }: typeof a) =>
          first >= wide.address && first < wide.address + (1n << BigInt(32 - wide.prefix));
        return meets({ to: one }, { to: other }) === (holds(a, b) || holds(b, a));
      }),
    );
  });

  test.each<[string, Rule[], Parameters<typeof questionOf>, ReturnType<typeof reach>]>([
    [
      'the first rule that does decides',
      [{ to: '10.0.0.0/8' }, { to: '*' }],
      ['10.1.2.3'],
      { passes: 'yes', rule: 0 },
    ],
    ['a name is not its neighbour', [{ to: '*.example.org' }], ['badexample.org'], { passes: 'no' }],
    ['a name is not another', [{ to: 'example.org' }], ['example.net'], { passes: 'no' }],
    [
      'a subdomain is within *.',
      [{ to: '*.example.org' }],
      ['a.example.org', 443],
      { passes: 'yes', rule: 0 },
    ],
    ['upper case is the same name', [{ to: 'example.org' }], ['Example.ORG'], { passes: 'yes', rule: 0 }],
    [
      'a port is tcp unless said',
      [{ to: '*', protocol: 'udp', ports: '443' }],
      ['10.0.0.1', 443],
      { passes: 'no' },
    ],
    [
      'one protocol of all is a part',
      [{ to: '*', protocol: 'tcp' }],
      ['10.0.0.1'],
      { passes: 'partly', rule: 0 },
    ],
    ['half a network is a part', [{ to: '10.0.0.0/9' }], ['10.0.0.0/8'], { passes: 'partly', rule: 0 }],
    ['a name may have that address', [{ to: '10.0.0.1' }], ['example.org'], { passes: 'unknown', rule: 0 }],
    [
      'but not over another port',
      [{ to: '10.0.0.1', protocol: 'tcp', ports: '80' }],
      ['example.org', 443],
      { passes: 'no' },
    ],
    ['the resolvers are no web server', [{ to: 'dns' }], ['10.0.0.1', 443], { passes: 'no' }],
    [
      'a resolver may have that address',
      [{ to: 'dns' }],
      ['10.0.0.1', 53, 'udp'],
      { passes: 'unknown', rule: 0 },
    ],
    [
      'one protocol is not another',
      [{ to: '*', protocol: 'udp' }],
      ['10.0.0.1', undefined, 'tcp'],
      { passes: 'no' },
    ],
    ['IPv6 is not IPv4', [{ to: '0.0.0.0/0' }], ['::1'], { passes: 'no' }],
  ])('%s', (_what, some, words, verdict) => {
    expect(reach(some, questionOf(...words))).toEqual(verdict);
  });

  test.each<[at: string, ...Parameters<typeof questionOf>]>([
    ['/host', 'nowhere'],
    ['/host', '1.2.3'],
    ['/host', '-x.org'],
    ['/host', '*'],
    ['/host', '*.example.org'],
    ['/host', 'https://example.org/a'],
    ['/host', 'example.org:443'],
    ['/port', 'dns', 80],
    ['/protocol', 'dns', undefined, 'icmp'],
    ['/port', '10.0.0.1', 80, 'icmp'],
  ])('the refusal of a question that is not valid names %s: %s %s %s', (at, ...words) => {
    const problems = [{ at, problem: expect.stringMatching(/^must be /) }];
    expect(() => questionOf(...words)).toThrow(
      expect.objectContaining({ code: 'invalid-request', data: { problems } }),
    );
  });
});
