import { readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { axioms, INVARIANTS } from '../core/api/index.js';
import { CHECKS, checkOf } from './invariants.js';
import type { Dom0Snapshot, HostSnapshot, QubeSnapshot, WorldSnapshot } from './snapshot.js';

const known = parse(
  readFileSync(new URL('../dom0/spec/invariants.toml', import.meta.url), 'utf8'),
) as unknown as Record<string, { statement: string; enforced_by: string }>;

const GB = 2 ** 30;
const WORLD: WorldSnapshot = {
  name: 'ai',
  prefix: 'ai-',
  principals: ['mcp-control'],
  gateways: ['sys-ai-net'],
  birthGateway: 'sys-ai-net',
  birthCeiling: 'net',
  guarded: ['ai-sealed'],
  egress: [{ to: '10.0.0.0/8' }, { to: '*', protocol: 'tcp', ports: '443' }],
  properties: ['label', 'memory', 'vcpus'],
  features: ['x-note'],
  budget: { qubes: 4, disk: 8 * GB, private_size: 4 * GB, running: 3, memory: 8000, vcpus: 8 },
  frozen: false,
};

const PROPERTIES = {
  netvm: '',
  template: '',
  label: 'red',
  memory: '400',
  maxmem: '1000',
  vcpus: '2',
  provides_network: 'False',
  template_for_dispvms: 'False',
  default_dispvm: '',
  guivm: '',
  audiovm: '',
  management_dispvm: '',
  autostart: 'False',
  xid: '-1',
};

interface Drawn extends Omit<Partial<QubeSnapshot>, 'properties'> {
  properties?: Record<string, string>;
}
const qube = (name: string, { properties = {}, ...facts }: Drawn = {}): QubeSnapshot => ({
  name,
  class: 'AppVM',
  state: 'Halted',
  tags: [],
  features: {},
  firewall: ['action=accept'],
  disk: 2 * GB,
  ...facts,
  properties: { ...PROPERTIES, ...properties },
});

const MADE = ['ai-managed', 'ai-born', 'created-by-mcp-control'];
const CEILING = ['action=accept dst4=10.0.0.0/8', 'action=drop'];
/** A qube as a call makes it. */
const child = (name: string, { tags = [], properties, ...facts }: Drawn = {}): QubeSnapshot =>
  qube(name, {
    tags: [...MADE, 'ai-net', ...tags],
    features: { 'qmcp-network': 'sys-ai-net' },
    firewall: CEILING,
    ...facts,
    properties: { netvm: 'sys-ai-net', template: 'ai-debian', ...properties },
  });

const DOM0: Dom0Snapshot = {
  contracts: ['qmcp.spawn.Start'],
  policy: [
    'qmcp.Catalog * mcp-control @adminvm allow',
    'qmcp.spawn.Start * mcp-control @tag:ai-exec allow target=@adminvm',
    'qubes.GetDate * @tag:ai-managed @default allow target=@adminvm',
    '* * @tag:ai-managed @anyvm deny',
    'qubes.VMShell * work @dispvm allow',
  ],
  audit: [
    { kind: 'intent', call: '1' },
    { kind: 'outcome', call: '1' },
  ],
};

const HOST: HostSnapshot = {
  qubes: [
    qube('dom0', { class: 'AdminVM' }),
    qube('sys-ai-net', {
      properties: { provides_network: 'True', netvm: 'sys-firewall' },
      features: { 'qubes-firewall': '1' },
    }),
    qube('mcp-control', { properties: { netvm: 'sys-firewall' } }),
    qube('vault', { attached: [{ devclass: 'usb', backend: 'sys-usb', port: '2-1' }] }),
    qube('debian', { class: 'TemplateVM' }),
    qube('ai-sealed', { tags: ['ai-managed', 'ai-full'] }),
    qube('ai-debian', { class: 'TemplateVM', tags: ['ai-managed', 'ai-full'] }),
    child('ai-one', { tags: ['ai-full'] }),
    child('ai-dvm', { tags: ['anon-vm', 'operators-note'], properties: { template_for_dispvms: 'True' } }),
    qube('ai-disk', { tags: ['ai-managed', 'ai-full'], state: 'Running' }),
    qube('ai-gone', {
      tags: ['ai-managed', 'ai-net', 'created-by-mcp-control', 'ai-born', 'ai-tombstone'],
      features: { 'qmcp-entombed': '1700000000', 'qmcp-network': '' },
      disk: GB,
    }),
  ],
  dom0: DOM0,
};

type Change = (qube: QubeSnapshot) => QubeSnapshot;
const logged = (host: HostSnapshot): HostSnapshot => ({
  ...host,
  dom0: {
    ...host.dom0!,
    audit: [...host.dom0!.audit, { kind: 'intent', call: '2' }, { kind: 'outcome', call: '2' }],
  },
});
/** The host after a call that did this to one qube. */
const after = (name: string, change: Change, host = HOST): HostSnapshot =>
  logged({ ...host, qubes: host.qubes.map((one) => (one.name === name ? change(one) : one)) });
const with_ = (...made: QubeSnapshot[]): HostSnapshot => logged({ ...HOST, qubes: [...HOST.qubes, ...made] });
const without = (name: string, host = HOST): HostSnapshot =>
  logged({ ...host, qubes: host.qubes.filter((one) => one.name !== name) });
const dom0 = (change: Partial<Dom0Snapshot>): HostSnapshot => ({ ...HOST, dom0: { ...DOM0, ...change } });
const property =
  (name: string, value: string): Change =>
  (one) => ({ ...one, properties: { ...one.properties, [name]: value } });
const feature =
  (name: string, value: string): Change =>
  (one) => ({ ...one, features: { ...one.features, [name]: value } });
const tagged =
  (...tags: string[]): Change =>
  (one) => ({ ...one, tags: [...one.tags, ...tags] });
const untagged =
  (...tags: string[]): Change =>
  (one) => ({ ...one, tags: one.tags.filter((tag) => !tags.includes(tag)) });
const both =
  (...changes: Change[]): Change =>
  (one) =>
    changes.reduce((now, change) => change(now), one);
const state = (now: string): Change => both(property('xid', '7'), (one) => ({ ...one, state: now }));
const firewall =
  (...lines: string[]): Change =>
  (one) => ({ ...one, firewall: lines });
const disk =
  (size: number): Change =>
  (one) => ({ ...one, disk: size });
const uses =
  (devclass: string, backend: string): Change =>
  (one) => ({ ...one, attached: [{ devclass, backend, port: 'sda' }] });
const removed = both(tagged('ai-tombstone'), feature('qmcp-entombed', '1700000001'));

const unused: Change = (one) => ({ ...one, attached: [] });
/** With a qube of the operator's that is based on a template of the world. */
const HOST_OF_WORK = with_(qube('work', { properties: { template: 'ai-debian' } }));

const HOST_OF_NOTE = after('ai-debian', tagged('operators-note'));

/** A disposable as a call makes it: it has every tag of its template but its mark, and is narrowed. */
const disposable = child('disp7', {
  class: 'DispVM',
  state: 'Running',
  tags: ['disp-created-by-mcp-control', 'ai-disp-net', 'anon-vm', 'operators-note'],
  properties: { template: 'ai-dvm' },
});
const running = after('ai-one', state('Running'));
/** The host after a birth whose call named these. */
const birthOf = (made: QubeSnapshot, ...names: string[]): HostSnapshot => {
  const host = with_(made);
  const audit = host.dom0!.audit.map((line) =>
    line.call === '2' && line.kind === 'intent' ? { ...line, names: [made.name, ...names] } : line,
  );
  return { ...host, dom0: { ...host.dom0!, audit } };
};
/** As the operator had it before the call. */
const had = (name: string, change: Change): HostSnapshot => ({
  ...HOST,
  qubes: HOST.qubes.map((one) => (one.name === name ? change(one) : one)),
});
const LOCKED = had('ai-one', tagged('ai-egress-lock'));
const cloned = child('ai-two', { features: { 'qmcp-network': 'sys-ai-net' } });

/** What calls do: none of it breaks anything. */
const KEPT: readonly [string, HostSnapshot, HostSnapshot][] = [
  ['nothing', HOST, HOST],
  ['a birth', HOST, with_(child('ai-two'))],
  [
    'a birth without a network',
    HOST,
    with_(child('ai-two', { features: { 'qmcp-network': '' }, properties: { netvm: '' } })),
  ],
  ['a disposable', HOST, with_(disposable)],
  ['a clone with the restrictions of its source', HOST, birthOf(tagged('anon-vm')(cloned), 'ai-dvm')],
  ['a clone of one without any, beside one with', HOST, birthOf(cloned, 'ai-one')],
  ['a new setting of one whose egress is locked', LOCKED, after('ai-one', property('memory', '500'), LOCKED)],
  ['the end of a disposable', with_(disposable), without('disp7', with_(disposable))],
  ['a start, with the gateway', HOST, after('sys-ai-net', state('Running'), running)],
  ['a new setting', HOST, after('ai-one', both(property('memory', '500'), feature('x-note', 'mine')))],
  ['new rules', HOST, after('ai-one', firewall('action=accept proto=tcp dstports=443-443', 'action=drop'))],
  ['off the network', HOST, after('ai-one', property('netvm', ''))],
  ['back on it', after('ai-one', property('netvm', '')), logged(after('ai-one', (one) => one))],
  ['a device more', HOST, after('ai-one', uses('block', 'ai-disk'))],
  ['the largest disk there may be', HOST, after('ai-one', disk(4 * GB))],
  [
    'as many rules as there may be',
    HOST,
    after('ai-one', firewall(...Array(127).fill('action=accept dst4=10.0.0.1/32'), 'action=drop')),
  ],
  [
    'the end of one that the operator had put elsewhere',
    after('ai-disk', property('netvm', 'sys-firewall')),
    logged(after('ai-disk', both(property('netvm', 'sys-firewall'), state('Halted')))),
  ],
  [
    'the end of one whose device the operator had lent outside',
    after('vault', both(state('Running'), uses('block', 'ai-disk'))),
    logged(after('ai-disk', state('Halted'), after('vault', state('Running'), after('vault', unused)))),
  ],
  ['a bigger disk', HOST, after('ai-one', disk(3 * GB))],
  ['a removal', HOST, after('ai-one', removed)],
  [
    'a return',
    HOST,
    after('ai-gone', (one) => ({
      ...untagged('ai-tombstone')(one),
      features: { 'qmcp-network': '' },
    })),
  ],
];

/** For each axiom, what would break it. */
const BROKEN: Readonly<
  Record<string, readonly [string, HostSnapshot, HostSnapshot, Partial<WorldSnapshot>?][]>
> = {
  'scope.existence-hidden': [
    ['a qube outside comes into being', HOST, with_(qube('work'))],
    ['a qube outside ends', HOST, without('vault')],
  ],
  'scope.values-redacted': [
    ['a qube outside is set', HOST, after('vault', property('label', 'blue'))],
    ['its rules are others', HOST, after('vault', firewall('action=drop'))],
    [
      'a template of the world is set, and so is what is based on it outside',
      HOST_OF_WORK,
      after('ai-debian', property('memory', '500'), after('work', property('memory', '500'), HOST_OF_WORK)),
    ],
  ],
  'scope.self-excluded': [
    ['the principal is tagged', HOST, after('mcp-control', tagged('ai-full'))],
    ['the gateway is set', HOST, after('sys-ai-net', property('memory', '1000'))],
    ['a guarded qube is set', HOST, after('ai-sealed', feature('x-note', 'mine'))],
    ['dom0 is set', HOST, after('dom0', feature('x-note', 'mine'))],
  ],
  'tags.operator-only': [
    ['a tag more', HOST, after('ai-one', tagged('ai-dump'))],
    ['a restriction less', HOST, after('ai-dvm', untagged('anon-vm'))],
    [
      'a mark that takes more with it',
      HOST,
      after('ai-one', both(removed, untagged('created-by-mcp-control'))),
    ],
    [
      'a birth with a tag of its template',
      HOST_OF_NOTE,
      with_(child('ai-two', { tags: ['operators-note'] })),
    ],
    ['a birth with a foreign tag', HOST, with_(child('ai-two', { tags: ['lab-managed'] }))],
  ],
  'tiers.unreadable': [['a tier tag where agents read', HOST, after('ai-one', feature('x-note', 'ai-full'))]],
  'tiers.no-escalation': [
    ['a tier more', HOST, after('ai-dvm', tagged('ai-full'))],
    ['a child above the birth ceiling', HOST, with_(child('ai-two', { tags: ['ai-full'] }))],
    ['a child of a template outside', HOST, with_(child('ai-two', { properties: { template: 'debian' } }))],
    [
      'a return with more than it had',
      HOST,
      after('ai-gone', both(untagged('ai-tombstone'), tagged('ai-full'))),
    ],
    ['a guard less', after('ai-one', tagged('ai-guard')), HOST],
  ],
  'restrictions.inherit': [
    [
      'a disposable without its template’s',
      HOST,
      with_({ ...disposable, tags: disposable.tags.filter((tag) => tag !== 'anon-vm') }),
    ],
    ['a clone without its source’s', HOST, birthOf(cloned, 'ai-dvm')],
    [
      'a clone with one of two',
      had('ai-dvm', tagged('ai-guard')),
      birthOf(tagged('anon-vm')(cloned), 'ai-dvm'),
    ],
    [
      'a birth without its template’s',
      had('ai-debian', tagged('ai-egress-lock')),
      birthOf(cloned, 'ai-debian'),
    ],
    ['other rules of a locked one', LOCKED, after('ai-one', firewall('action=drop'), LOCKED)],
    ['a locked one off its network', LOCKED, after('ai-one', property('netvm', ''), LOCKED)],
    [
      'a locked one back on its network',
      after('ai-one', property('netvm', ''), LOCKED),
      after('ai-one', property('netvm', 'sys-ai-net'), LOCKED),
    ],
  ],
  'birth.tagged-before-named': [
    ['without the umbrella', HOST, with_(untagged('ai-managed')(child('ai-two')))],
    ['without the stamp', HOST, with_(untagged('created-by-mcp-control')(child('ai-two')))],
    ['without the last mark', HOST, with_(untagged('ai-born')(child('ai-two')))],
    ['a disposable with another’s mark', HOST, with_(untagged('ai-disp-net')(disposable))],
  ],
  'birth.namespace': [
    ['another prefix', HOST, with_(child('work-two'))],
    ['a disposable of another name', HOST, with_({ ...disposable, name: 'vault2' })],
  ],
  'birth.class': [
    ['a template', HOST, with_(child('ai-two', { class: 'TemplateVM' }))],
    ['a standalone', HOST, with_(child('ai-two', { class: 'StandaloneVM' }))],
  ],
  'birth.egress-inherited': [
    [
      'the template’s network',
      after('ai-debian', property('netvm', 'sys-firewall')),
      with_(child('ai-two', { properties: { netvm: 'sys-firewall' } })),
    ],
  ],
  'birth.no-escape-hatch': [
    ...['default_dispvm', 'guivm', 'audiovm', 'management_dispvm'].map(
      (hatch) =>
        [hatch, HOST, with_(child('ai-two', { properties: { [hatch]: 'vault' } }))] as [
          string,
          HostSnapshot,
          HostSnapshot,
        ],
    ),
    ['autostart', HOST, with_(child('ai-two', { properties: { autostart: 'True' } }))],
    ['preloading', HOST, with_(feature('preload-dispvm-max', '3')(child('ai-two')))],
  ],
  'egress.never-widens': [
    [
      'a network it was not born on',
      after('ai-one', property('netvm', '')),
      after('ai-one', property('netvm', 'sys-other')),
    ],
    ['a network for one born without', HOST, after('ai-gone', property('netvm', 'sys-ai-net'))],
    ['another home', HOST, after('ai-gone', feature('qmcp-network', 'sys-ai-net'))],
    ['a birth whose home is elsewhere', HOST, with_(child('ai-two', { properties: { netvm: '' } }))],
  ],
  'egress.gateways-only': [
    ['put on another network', HOST, after('ai-one', property('netvm', 'sys-firewall'))],
    ['born on another network', HOST, with_(child('ai-two', { properties: { netvm: 'sys-firewall' } }))],
    [
      'started on another network',
      after('ai-disk', both(property('netvm', 'sys-firewall'), state('Halted'))),
      after('ai-disk', property('netvm', 'sys-firewall')),
    ],
  ],
  'egress.gateways-as-declared': [
    ...(
      [
        ['lacks the feature', feature('qubes-firewall', '')],
        ['has its firewall switched off', feature('service.qubes-firewall', '')],
        ['is a Whonix gateway', feature('whonix-gw', '1')],
      ] as const
    ).flatMap(([what, change]): [string, HostSnapshot, HostSnapshot][] => {
      const host = { ...HOST, qubes: after('sys-ai-net', change).qubes };
      return [
        [`a birth on a gateway that ${what}`, host, { ...host, qubes: [...host.qubes, child('ai-two')] }],
        [`a start on a gateway that ${what}`, host, after('ai-one', state('Running'), host)],
        [
          `new rules on a gateway that ${what}`,
          host,
          after('ai-one', (one) => ({ ...one, firewall: ['action=drop'] }), host),
        ],
      ];
    }),
  ],
  'egress.no-new-gateway': [
    ['a new one', HOST, after('ai-one', property('provides_network', 'True'))],
    ['a born one', HOST, with_(child('ai-two', { properties: { provides_network: 'True' } }))],
    ['another network of one', HOST, after('sys-ai-net', property('netvm', ''))],
  ],
  'egress.within-ceiling': [
    [
      'one of them beyond it',
      HOST,
      after(
        'ai-one',
        firewall('action=accept dst4=10.0.0.0/8', 'action=accept dst4=192.168.0.0/16', 'action=drop'),
      ),
    ],
    ['beyond it', HOST, after('ai-one', firewall('action=accept dst4=192.168.0.0/16', 'action=drop'))],
    ['born beyond it', HOST, with_(child('ai-two', { firewall: ['action=accept'] }))],
    ['no drop at the end', HOST, after('ai-one', firewall('action=accept dst4=10.0.0.0/8'))],
    ['a drop in the middle', HOST, after('ai-one', firewall('action=drop', 'action=drop'))],
    [
      'too many',
      HOST,
      after('ai-one', firewall(...Array(128).fill('action=accept dst4=10.0.0.1/32'), 'action=drop')),
    ],
  ],
  'budget.hard': [
    ['qubes', HOST, with_(child('ai-two')), { budget: { ...WORLD.budget, qubes: 3 } }],
    ['disk', HOST, after('ai-one', disk(6 * GB)), { budget: { ...WORLD.budget, private_size: 8 * GB } }],
    ['one disk', HOST, after('ai-one', disk(4.5 * GB))],
    ['running', HOST, running, { budget: { ...WORLD.budget, running: 1 } }],
    ['memory', HOST, after('ai-one', both(state('Running'), property('maxmem', '9000')))],
    ['vcpus', HOST, after('ai-one', both(state('Running'), property('vcpus', '9')))],
    ['less memory, it says, of one that runs', HOST, after('ai-disk', property('maxmem', '100'))],
  ],
  'budget.numbers-private': [
    ['more than was left', HOST, running, { budget: { ...WORLD.budget, running: 1 } }],
  ],
  'props.allowlist': [
    ['a property', HOST, after('ai-one', property('kernelopts', 'nopat'))],
    ['a feature', HOST, after('ai-one', feature('tag-created-vm-with', 'ai-full'))],
  ],
  'devices.both-ends': [
    ['a backend outside', HOST, after('ai-one', uses('block', 'vault'))],
    ['a frontend under full', HOST, after('ai-dvm', uses('block', 'ai-disk'))],
    ['another class', HOST, after('ai-one', uses('pci', 'ai-disk'))],
    [
      'taken from one outside',
      after('vault', both(state('Running'), uses('block', 'ai-disk'))),
      after(
        'vault',
        both(state('Running'), (one) => ({ ...one, attached: [] })),
      ),
    ],
  ],
  'remove.is-a-tombstone': [
    ['gone', HOST, without('ai-one')],
    ['a tombstone gone', HOST, without('ai-gone')],
    ['still running', running, after('ai-one', both(removed, state('Running')))],
    ['without the time of it', HOST, after('ai-one', tagged('ai-tombstone'))],
    ['a smaller disk', HOST, after('ai-one', both(removed, disk(0)))],
  ],
  'audit.complete': [
    ['a change nobody logged', HOST, { ...after('ai-one', state('Running')), dom0: DOM0 }],
    [
      'an intent alone',
      HOST,
      { ...running, dom0: { ...DOM0, audit: [...DOM0.audit, { kind: 'intent', call: '2' }] } },
    ],
    [
      'an outcome alone',
      HOST,
      { ...running, dom0: { ...DOM0, audit: [...DOM0.audit, { kind: 'outcome', call: '2' }] } },
    ],
    ['a line gone', HOST, dom0({ audit: DOM0.audit.slice(1) })],
  ],
  'plans.approved': [
    [
      'a step that was begun twice',
      HOST,
      dom0({
        audit: ['1', '2'].flatMap((call) => [
          { kind: 'intent', call, plan: 'a', step: 1 },
          { kind: 'outcome', call, plan: 'a', step: 1 },
        ]),
      }),
    ],
  ],
  'crash.no-residue': [
    ['half a birth', HOST, with_(untagged('ai-born')(child('ai-two')))],
    ['half a removal', HOST, after('ai-one', tagged('ai-tombstone'))],
    ['half a return', HOST, after('ai-gone', (one) => ({ ...one, features: {} }))],
    ['a time forgotten', HOST, after('ai-gone', untagged('ai-tombstone'))],
  ],
  'frozen.means-frozen': [['an effect', HOST, running, { frozen: true }]],
  'policy.closed': [
    ['a change outside', HOST, after('vault', property('label', 'blue'))],
    ['another policy', HOST, dom0({ policy: DOM0.policy.slice(1) })],
    ...(
      [
        ['a qube may ask dom0', 'qmcp.spawn.Start * @tag:ai-managed @adminvm allow'],
        [
          'a qube may have itself sent to dom0',
          'qubes.VMShell * @tag:ai-managed @anyvm allow target=@adminvm',
        ],
        ['a qube may have a disposable', 'qubes.VMShell * @tag:ai-managed @dispvm allow'],
        ['a qube reaches the principal', 'qubes.Filecopy * @tag:ai-managed mcp-control allow'],
        ['a removed one may ask dom0', 'admin.vm.List * @tag:ai-tombstone dom0 ask'],
        ['the principal has another service', 'admin.vm.List * mcp-control @adminvm allow'],
      ] as const
    ).map(([what, line]): [string, HostSnapshot, HostSnapshot] => {
      const host = dom0({ policy: [...DOM0.policy, line] });
      return [what, host, host];
    }),
  ],
  'consent.names-the-qube': [
    [
      'a call that changed another qube than it named',
      HOST,
      dom0({
        audit: [
          ...DOM0.audit,
          { kind: 'intent', call: '2', argument: 'ai-two' },
          { kind: 'outcome', call: '2', argument: 'ai-two' },
        ],
      }),
    ],
  ],
  'consent.opens-nothing': (
    [
      ['a question about a guarded qube', 'qmcp.exec.Run * mcp-control @tag:ai-guard ask'],
      ['a question about a removed qube', 'qmcp.spawn.Kill * mcp-control @tag:ai-tombstone ask'],
      ['a question about every qube', 'qmcp.exec.Run * mcp-control @anyvm ask'],
      ['a question about a qube by its name', 'qmcp.exec.Run * mcp-control work ask'],
      ['a question for another caller', 'qmcp.exec.Run * work @tag:ai-exec ask'],
    ] as const
  ).map(([what, line]): [string, HostSnapshot, HostSnapshot] => {
    const host = dom0({ policy: [...DOM0.policy, line] });
    return [what, host, host];
  }),
  'policy.consistent': [
    ['a contract without its line', HOST, dom0({ contracts: [...DOM0.contracts, 'qmcp.spawn.Create'] })],
    ['a line without its contract', HOST, dom0({ contracts: [] })],
  ],
};

describe('the axioms', () => {
  test("the axioms are the invariants of dom0's spec, with its statements and places of enforcement", () => {
    expect(
      Object.entries(INVARIANTS).map(([id, { enforcedBy, statement }]) => [id, enforcedBy, statement]),
    ).toEqual(Object.entries(known).map(([id, { enforced_by, statement }]) => [id, enforced_by, statement]));
  });

  test('every axiom has examples that break it', () => {
    expect(Object.keys(BROKEN).sort()).toEqual(CHECKS.map(({ id }) => id).sort());
  });

  test.each(KEPT)('all axioms hold for %s', (_what, before, now) => {
    expect(CHECKS.filter(({ holds }) => !holds(before, now, WORLD)).map(({ id }) => id)).toEqual([]);
  });

  describe.each(CHECKS.map((check) => [check.id, check] as const))('%s', (id, check) => {
    test.each(BROKEN[id]!)(`${id} is broken by %s`, (_what, before, now, world) => {
      expect(check.holds(before, now, { ...WORLD, ...world })).toBe(false);
    });
  });

  test('the checks accept snapshots without the parts that were not read', () => {
    const { qubes } = HOST;
    for (const [before, now] of [
      [{ qubes }, { qubes }],
      [HOST, { qubes }],
      [{ qubes }, HOST],
    ] as const)
      expect(CHECKS.filter(({ holds }) => !holds(before, now, WORLD))).toEqual([]);
  });
});

test('birth.class allows only the classes that the contract names', () => {
  expect(axioms.birthClass('AppVM')).toEqual({ id: 'birth.class', with: { classes: ['AppVM'] } });
  const only = checkOf(axioms.birthClass('AppVM'));
  expect(only.holds(HOST, with_(child('ai-two')), WORLD)).toBe(true);
  expect(only.holds(HOST, with_(disposable), WORLD)).toBe(false);
  const forDisposables = child('ai-two', { properties: { template_for_dispvms: 'True' } });
  expect(only.holds(HOST, with_(forDisposables), WORLD)).toBe(false);
  const forThose = checkOf(axioms.birthClass('DispVMTemplate'));
  expect(forThose.holds(HOST, with_(forDisposables), WORLD)).toBe(true);
});

test('an invariant that dom0 does not know has no check', () => {
  expect(() => checkOf({ id: 'mine.own', with: {} })).toThrow('dom0 enforces no invariant mine.own');
});
