import { expect, test } from 'vitest';
import { listOf, stateOf, toolsOf } from '../../test/support/tools.js';
import egress from './plugin.js';

const CEILING = [{ to: '*.example.org', protocol: 'tcp', ports: '443' }, { to: '10.0.0.0/8' }];
const RULES = [
  { to: 'dns' },
  { to: 'www.example.org', protocol: 'tcp', ports: '443' },
  { to: '10.1.0.0/16' },
];
const REACH: Record<string, object> = {
  'ai-one': { rules: RULES, by: 'world' },
  'ai-alone': { rules: RULES, by: 'world', network: null },
  'ai-old': { rules: [], by: 'operator' },
  'ai-open': { rules: RULES, by: 'world', network: 'sys-ai-open' },
  'ai-broken': { rules: [], by: 'world', network: 'sys-ai-broken' },
  'ai-elsewhere': { rules: [], by: 'world', network: '<out-of-scope>' },
};
const NET = { name: 'sys-ai-net', usable: true, filters: true, anonymising: false, label: '' };
const GATEWAYS = [
  NET,
  { ...NET, name: 'sys-ai-open', filters: false },
  { ...NET, name: 'sys-ai-broken', usable: false },
];
const ceiling = { gateways: GATEWAYS, birth_gateway: 'sys-ai-net', ceiling: CEILING };
const SET = {
  rules: RULES,
  takes_effect: 'soon',
  open_connections: 'end',
  until_then: [],
  until_then_by: 'world',
};
const dom0 = {
  'qmcp.egress.Status': () => ({ ...ceiling, ...listOf(...Object.keys(REACH), 'ai-gone') }),
  'qmcp.egress.RulesGet': ({ target }: { target: string }) =>
    target in REACH
      ? { ...stateOf(target), ...REACH[target] }
      : { ended: 'exit', exit: 126, stdout: Buffer.alloc(0), stderr: '' },
  'qmcp.egress.RulesSet': () => SET,
};

test('egress_status shows the ceiling and every existing qube', async () => {
  const tools = await toolsOf(egress, dom0);
  expect(await tools.call('egress_status', {})).toEqual({
    ...ceiling,
    qubes: [
      { qube: 'ai-one', network: 'sys-ai-net', by: 'world', rules: RULES },
      { qube: 'ai-alone', network: null, by: 'world', rules: RULES },
      { qube: 'ai-old', network: 'sys-ai-net', by: 'operator', rules: [] },
      { qube: 'ai-open', network: 'sys-ai-open', by: 'world', rules: RULES },
      { qube: 'ai-broken', network: 'sys-ai-broken', by: 'world', rules: [] },
      { qube: 'ai-elsewhere', network: '<out-of-scope>', by: 'world', rules: [] },
    ],
  });
});

test('egress_rules_get shows the rules and who set them', async () => {
  const tools = await toolsOf(egress, dom0);
  const shown = { qube: 'ai-one', network: 'sys-ai-net', by: 'world', rules: RULES };
  expect(await tools.call('egress_rules_get', { qube: 'ai-one' })).toEqual(shown);
});

test('egress_rules_set sends the rules as data, on the qube', async () => {
  const tools = await toolsOf(egress, dom0);
  expect(await tools.call('egress_rules_set', { qube: 'ai-one', rules: RULES })).toEqual(SET);
  expect(tools.calls()).toEqual([['ai-one', 'qmcp.egress.RulesSet', { rules: RULES }]]);
});

test.each([
  ['text', 'action=accept'],
  ['a rule as text', ['action=accept']],
  ['a rule with an action', [{ to: '*', action: 'accept' }]],
  ['a port with a word', [{ to: '*', protocol: 'tcp', ports: '80 action=accept' }]],
  ['another protocol', [{ to: '*', protocol: 'sctp' }]],
  ['a rule to nowhere', [{}]],
  ['too many', Array(128).fill({ to: '10.0.0.1' })],
])('egress_rules_set never sends %s', async (_what, rules) => {
  const tools = await toolsOf(egress, dom0);
  expect(await tools.call('egress_rules_set', { qube: 'ai-one', rules })).toBe('invalid-request');
  expect(tools.calls()).toEqual([]);
});

test.each<[string, object, object]>([
  [
    'the rule that allows the packet',
    { host: 'www.example.org', port: 443 },
    { passes: 'yes', because: 'rule', rule: RULES[1], ceiling: CEILING[0] },
  ],
  [
    'a rule that may match its address, and the ceiling that would allow it',
    { host: 'ftp.example.org', port: 443 },
    { passes: 'unknown', because: 'rule', rule: RULES[2], ceiling: CEILING[0] },
  ],
  [
    'no rule, and no ceiling either',
    { host: '192.168.0.1', port: 22 },
    { passes: 'no', because: 'no-rule', rule: null, ceiling: null },
  ],
  [
    'a rule that allows a part',
    { host: '10.0.0.0/8' },
    { passes: 'partly', because: 'rule', rule: RULES[2], ceiling: CEILING[1] },
  ],
  [
    'no network',
    { qube: 'ai-alone', host: '10.1.0.1' },
    { passes: 'no', because: 'no-network', rule: null, ceiling: CEILING[1] },
  ],
  ...(
    [
      ['need not filter, so no packet is known to be dropped', 'ai-open', 'unknown'],
      ['cannot be used, by which no rule is known to hold', 'ai-broken', 'unknown'],
      ['is not of the world', 'ai-elsewhere', 'unknown'],
    ] as const
  ).map(([what, qube, passes]): [string, object, object] => [
    `a gateway that ${what}`,
    { qube, host: '10.2.0.1' },
    { passes, because: 'gateway', rule: null, ceiling: CEILING[1] },
  ]),
  [
    'the rule that allows the packet, whatever the gateway does with others',
    { qube: 'ai-open', host: 'www.example.org', port: 443 },
    { passes: 'yes', because: 'rule', rule: RULES[1], ceiling: CEILING[0] },
  ],
  [
    'rules that are not shown',
    { qube: 'ai-old', host: '10.1.0.1' },
    { passes: 'unknown', because: 'operator', rule: null, ceiling: CEILING[1] },
  ],
])('egress_explain answers with %s', async (_what, asked, answer) => {
  const tools = await toolsOf(egress, dom0);
  expect(await tools.call('egress_explain', { qube: 'ai-one', ...asked })).toEqual(answer);
});

test.each([
  { host: 'localhost' },
  { host: '10.0.0.1', port: 80, protocol: 'icmp' },
  { host: '*' },
  { host: 'a b.c' },
])('egress_explain refuses %j without a call', async (asked) => {
  const tools = await toolsOf(egress, dom0);
  expect(await tools.call('egress_explain', { qube: 'ai-one', ...asked })).toBe('invalid-request');
  expect(tools.calls()).toEqual([]);
});
