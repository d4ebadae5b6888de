import fc from 'fast-check';
import type { HostSpec, QubeSpec } from '../../../sim/host-spec.js';

/**
 * Pairs of hosts. A pair has one inside, the world `ai` with everything its principals may know of it, and two outsides. A thing
 * outside that the inside refers to (a template, a network, a disposable template, which a reply only ever calls
 * `<out-of-scope>`) is a role: each side has a qube for it, with any name.
 */
export type Role = 'os' | 'net' | 'dvm';
export type Side = 'left' | 'right';
export const SIDES: readonly Side[] = ['left', 'right'];

type Reference = { readonly outside: Role } | string | null;
type Device = NonNullable<QubeSpec['devices']>[number];

interface Inside {
  readonly name: string;
  readonly class: 'AppVM' | 'StandaloneVM' | 'TemplateVM' | 'DispVM';
  readonly state: 'Halted' | 'Running' | 'Paused';
  readonly label: string;
  readonly template: Reference;
  readonly network: Reference;
  readonly disposables: Reference;
  readonly management: Reference;
  readonly tags: readonly string[];
  readonly memory: number;
  readonly vcpus: number;
  readonly flags: Readonly<Record<string, boolean>>;
  readonly features: Readonly<Record<string, string>>;
  readonly firewall: readonly string[];
  readonly devices: readonly Device[];
  readonly used: number;
}

interface Outside {
  readonly roles: Readonly<Record<Role, string>>;
  readonly qubes: readonly {
    readonly name: string;
    readonly class: 'AppVM' | 'StandaloneVM' | 'TemplateVM';
    readonly running: boolean;
    readonly label: string;
    readonly template: 'os' | 'ai-debian';
    readonly network: 'net' | 'sys-ai-net' | null;
    readonly tags: readonly string[];
    readonly features: Readonly<Record<string, string>>;
    readonly memory: number;
    readonly devices: readonly Device[];
    readonly used: number;
  }[];
  readonly pool: { readonly size: number; readonly usage: number };
  readonly twoPools: boolean;
  /** MiB of the machine: more than the world can use. */
  readonly memory: number;
  /** Qubes that are older than every other, so that the numbers and the addresses of all others differ. */
  readonly older: number;
  /** Running disposables that somebody outside made. */
  readonly disposables: number;
  /** Values of the template outside, from which qubes that are based on it take their defaults. */
  readonly defaults: Readonly<Record<string, number | string>>;
}

export interface Pair {
  readonly inside: readonly Inside[];
  readonly left: Outside;
  readonly right: Outside;
}

/** Names of qubes inside, besides `ai-debian` and `ai-dvm`, which always exist. One is the operator's own. */
const INSIDE = ['ai-work', 'ai-mail', 'ai-box', 'ai-guarded', 'ai-gone', 'ai-half', 'notes'] as const;
/** Outside qubes of every host with the world's prefix, which an agent may learn only from `name-taken`. */
const ALWAYS_OUTSIDE = 'ai-hidden';
/** Names that one host may have outside, and the other may not. */
export const OUTSIDE = ['vault', 'work', 'lab-one', 'aiwork', 'Ai-work', 'ai', 'ghost'] as const;
const NAMES_OF_ROLES: Record<Role, readonly string[]> = {
  os: ['debian-13', 'fedora-42', 'whonix-18'],
  net: ['sys-firewall', 'sys-vpn'],
  dvm: ['default-dvm', 'other-dvm'],
};
const FRESH = ['ai-new', 'ai-x', 'ai-0.1', 'ai-A_b', `ai-${'z'.repeat(28)}`];
/** Qubes of both hosts that no call may reach. */
export const NEVER = ['mcp-control', 'sys-ai-net', 'dom0', 'lab-control', 'sys-lab-net'];
const NOWHERE = ['no-such-qube', 'missing', 'Work', 'sys-whonix'];
export const MALFORMED = ['', ' ', 'a b', '-x', '9x', 'ai-', 'ai-x-dm', 'none', 'default', 'Domain-0'];
const ODD = [`ai-${'z'.repeat(29)}`, 'x'.repeat(200), 'ai-ü', 'vault\n', '../vault', 'uuid:00000000'];

/** Names of the world's own qubes. */
export const KNOWN: fc.Arbitrary<string> = fc.constantFrom(
  'ai-debian',
  'ai-debian',
  'ai-debian',
  'ai-debian',
  'ai-dvm',
  ...INSIDE,
);
/** Names for its new qubes. */
export const UNUSED: fc.Arbitrary<string> = fc.constantFrom(...FRESH);
const elsewhere = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom<string>(...OUTSIDE, ALWAYS_OUTSIDE) },
  { weight: 2, arbitrary: fc.constantFrom(...Object.values(NAMES_OF_ROLES).flat()) },
  { weight: 2, arbitrary: fc.constantFrom(...NOWHERE, ...NEVER) },
);
const unlikely = fc.constantFrom(...MALFORMED, ...ODD);

/** Names that an agent may use for one of its qubes: known ones, new ones, and guesses. */
export const NAMES: fc.Arbitrary<string> = fc.oneof(
  { weight: 10, arbitrary: KNOWN },
  { weight: 4, arbitrary: UNUSED },
  { weight: 8, arbitrary: elsewhere },
  { weight: 1, arbitrary: unlikely },
);

/** Names that it may use for a new qube: the same, in another proportion. */
export const NEW_NAMES: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: UNUSED },
  { weight: 2, arbitrary: KNOWN },
  { weight: 6, arbitrary: elsewhere },
  { weight: 1, arbitrary: unlikely },
);

/** Tags that are not the world's umbrella, although they look like it. */
const LOOK_ALIKES = [
  'ai-manage',
  'ai-managed-not',
  'AI-managed',
  'ai-guard',
  'ai-dump',
  'ai-source',
  'ai-egress-lock',
  'anon-vm',
  'created-by-dom0',
];
/**
 * Tags that give authority, without the umbrella: the policy, which knows no `and`, lets calls on such a qube through to dom0
 * where it turns away those on a missing one, until qmcpd has taken the tag off. dom0 has to refuse the two alike all the same.
 */
const STRAY_TIERS = ['ai-exec', 'ai-net', 'ai-full', 'ai-born', 'ai-disp-full'];
const OTHER_WORLD = ['lab-managed', 'lab-managed', 'lab-full', 'lab-exec', 'lab-born', 'lab-tombstone'];

/** The other differences between the hosts of a pair. */
export interface Differences {
  /** Qubes outside may have the world's tier tags: then only calls past the policy are compared. */
  readonly strayTiers?: boolean;
  /** Qubes outside may belong to another world, whose agents are active. */
  readonly otherWorld?: boolean;
}

const tagsFor = ({ strayTiers, otherWorld }: Differences) => [
  ...LOOK_ALIKES,
  ...(strayTiers ? STRAY_TIERS : []),
  ...(otherWorld ? OTHER_WORLD : []),
];

const some = <T>(from: readonly T[], maxLength = from.length) => fc.subarray([...from], { maxLength });
const label = fc.constantFrom('red', 'orange', 'yellow', 'green', 'gray', 'blue', 'purple', 'black');
const gigabytes = fc.integer({ min: 0, max: 2 ** 31 });

const devices = some<Device>(
  [
    { class: 'block', port: 'sda', name: 'data', serial: 'stick', mode: 'w', size: 8_000_000_000 },
    { class: 'block', port: 'loop0', name: 'file', mode: 'r', size: 4096 },
    { class: 'usb', port: '2-1', id: '0951:1666:none:u080650', interfaces: 'u080650', product: 'Key' },
  ],
  2,
);

const insideQube = (name: string): fc.Arbitrary<Inside> =>
  fc
    .record({
      class: fc.constantFrom('AppVM', 'AppVM', 'AppVM', 'StandaloneVM', 'TemplateVM', 'DispVM'),
      state: fc.constantFrom('Halted', 'Halted', 'Running', 'Paused'),
      label,
      template: fc.constantFrom<Reference>('ai-debian', { outside: 'os' }),
      network: fc.constantFrom<Reference>('sys-ai-net', 'sys-ai-net', null, { outside: 'net' }),
      disposables: fc.constantFrom<Reference>(null, 'ai-dvm', { outside: 'dvm' }),
      management: fc.constantFrom<Reference>(null, { outside: 'dvm' }),
      tier: fc.constantFrom([], ['ai-exec'], ['ai-exec', 'ai-net'], ['ai-full'], ['ai-full']),
      marks: some(['ai-guard', 'ai-egress-lock', 'anon-vm', 'ai-dump'], 1),
      made: fc.boolean(),
      memory: fc.constantFrom(200, 400, 4000),
      vcpus: fc.integer({ min: 1, max: 4 }),
      flags: fc.record({ autostart: fc.boolean(), debug: fc.boolean() }),
      features: some(['service.cups', 'gui', 'internal', 'vm-config.colour']),
      firewall: fc.constantFrom(
        ['action=accept'],
        ['action=drop'],
        ['action=accept proto=tcp dstports=443-443', 'action=drop'],
        ['action=accept dsthost=10.137.0.9', 'action=accept specialtarget=dns', 'action=drop'],
      ),
      devices,
      used: gigabytes,
    })
    .map(({ tier, marks, made, features, ...drawn }) => ({
      ...drawn,
      name,
      state: drawn.class === 'TemplateVM' ? 'Halted' : drawn.state,
      template: drawn.class === 'DispVM' ? 'ai-dvm' : drawn.class === 'AppVM' ? drawn.template : null,
      features: { ...Object.fromEntries(features.map((one) => [one, '1'])), qrexec: '1', os: 'Linux' },
      tags: [
        'ai-managed',
        ...tier,
        ...(name === 'ai-gone' ? ['ai-tombstone'] : []),
        ...(made ? ['created-by-mcp-control'] : []),
        ...(made && name !== 'ai-half' ? ['ai-born'] : []),
        ...marks,
      ],
    }));

const outside = (tags: readonly string[]): fc.Arbitrary<Outside> =>
  fc.record({
    roles: fc.record({
      os: fc.constantFrom(...NAMES_OF_ROLES.os),
      net: fc.constantFrom(...NAMES_OF_ROLES.net),
      dvm: fc.constantFrom(...NAMES_OF_ROLES.dvm),
    }),
    qubes: some([...OUTSIDE], 5).chain((names) =>
      fc.tuple(
        ...[...names, ALWAYS_OUTSIDE].map((name) =>
          fc.record({
            name: fc.constant(name),
            class: fc.constantFrom('AppVM', 'AppVM', 'StandaloneVM', 'TemplateVM'),
            running: fc.boolean(),
            label,
            template: fc.constantFrom('os', 'os', 'ai-debian'),
            network: fc.constantFrom('net', 'sys-ai-net', null),
            tags: some(tags, 4),
            features: fc.constantFrom({}, { 'tag-created-vm-with': 'ai-managed' }, { 'qmcp-entombed': '1' }),
            memory: fc.constantFrom(300, 16000),
            devices,
            used: gigabytes,
          }),
        ),
      ),
    ),
    pool: fc.record({ size: fc.integer({ min: 2 ** 30, max: 2 ** 48 }), usage: gigabytes }),
    twoPools: fc.boolean(),
    memory: fc.constantFrom(200_000, 1_000_000),
    older: fc.integer({ min: 0, max: 4 }),
    disposables: fc.integer({ min: 0, max: 3 }),
    defaults: fc.constantFrom<Outside['defaults'][]>(
      {},
      { qrexec_timeout: 300, default_user: 'someone' },
      { maxmem: 7000, vcpus: 5, kernelopts: 'quiet' },
    ),
  });

export const pairs = (differences: Differences): fc.Arbitrary<Pair> => {
  const outsides = outside(tagsFor(differences));
  return fc.record({
    inside: some([...INSIDE]).chain((names) => fc.tuple(...names.map(insideQube))),
    left: outsides,
    right: outsides,
  });
};

type Power = 'remove' | 'Start' | 'Shutdown' | 'Kill' | 'Pause' | 'Unpause';

/** Actions of the operator outside this world in the meantime, and of another world's agents. */
export type Change =
  | { readonly do: 'create'; readonly name: string; readonly label: string }
  | { readonly do: Power; readonly name: string }
  | { readonly do: 'tag' | 'untag'; readonly name: string; readonly tag: string }
  | {
      readonly do: 'property' | 'feature';
      readonly name: string;
      readonly key: string;
      readonly value: string;
    }
  | { readonly do: 'plug'; readonly name: string; readonly port: string }
  | { readonly do: 'global'; readonly key: string; readonly value: Role }
  | { readonly do: 'lab'; readonly service: string; readonly target: string; readonly payload: object };

export const changes = (differences: Differences): fc.Arbitrary<Change> => {
  const name = fc.constantFrom<string>(...OUTSIDE, ALWAYS_OUTSIDE);
  const anyName = fc.oneof(name, fc.constantFrom(...Object.values(NAMES_OF_ROLES).flat()));
  const tag = fc.constantFrom(...tagsFor(differences));
  return fc.oneof<fc.Arbitrary<Change>[]>(
    fc.record({ do: fc.constant('create' as const), name, label }),
    fc.record({
      do: fc.constantFrom<Power>('remove', 'Start', 'Shutdown', 'Kill', 'Pause', 'Unpause'),
      name,
    }),
    fc.record({ do: fc.constantFrom<'tag' | 'untag'>('tag', 'untag'), name: anyName, tag }),
    fc
      .tuple(
        anyName,
        fc.constantFrom(
          ['label', 'purple'],
          ['memory', '777'],
          ['netvm', ''],
          ['netvm', 'sys-ai-net'],
          ['autostart', 'True'],
          ['template_for_dispvms', 'True'],
          ['include_in_backups', 'False'],
        ),
      )
      .map(([on, [key, value]]) => ({ do: 'property' as const, name: on, key: key!, value: value! })),
    fc
      .tuple(anyName, fc.constantFrom(['internal', '1'], ['tag-created-vm-with', 'ai-managed'], ['gui', '']))
      .map(([on, [key, value]]) => ({ do: 'feature' as const, name: on, key: key!, value: value! })),
    fc.record({ do: fc.constant('plug' as const), name, port: fc.constantFrom('sdb', 'sdc') }),
    fc.constantFrom<Change>(
      { do: 'global', key: 'default_netvm', value: 'net' },
      { do: 'global', key: 'default_dispvm', value: 'dvm' },
      { do: 'global', key: 'updatevm', value: 'net' },
    ),
  );
};

/** An action of the other world's agent; its requests to qubesd must not count as the compared call's. */
export const LABOUR = fc.constantFrom<Change>(
  { do: 'lab', service: 'qmcp.inspect.List', target: '@adminvm', payload: {} },
  {
    do: 'lab',
    service: 'qmcp.spawn.Create',
    target: '@adminvm',
    payload: { name: 'lab-three', template: 'lab-debian' },
  },
  { do: 'lab', service: 'qmcp.spawn.Start', target: 'lab-three', payload: {} },
  { do: 'lab', service: 'qmcp.spawn.Remove', target: 'lab-three', payload: {} },
  { do: 'lab', service: 'qmcp.spawn.Remove', target: 'ai-work', payload: {} },
);

/** The description of one side of a pair; `qmcp` is the configuration of its dom0. */
export function worldOf(pair: Pair, side: Side, qmcp: string): HostSpec {
  const here = pair[side];
  const named = (to: Reference) => (to !== null && typeof to === 'object' ? here.roles[to.outside] : to);
  const infrastructure = { label: 'red', features: { qrexec: '1', os: 'Linux', 'qubes-firewall': '1' } };
  return {
    api: '4.4',
    deviceclasses: ['block', 'mic', 'pci', 'usb'],
    kernels: ['6.12.25-1.fc41'],
    properties: {
      default_kernel: '6.12.25-1.fc41',
      default_template: here.roles.os,
      default_netvm: here.roles.net,
      default_dispvm: here.roles.dvm,
      updatevm: here.roles.net,
    },
    pools: [
      { name: 'vm-pool', driver: 'file-reflink', options: { dir_path: '/var/lib/qubes' }, ...here.pool },
      ...(here.twoPools ? [{ name: 'cold', driver: 'file', options: { dir_path: '/cold' } }] : []),
      { name: 'linux-kernel', driver: 'linux-kernel', options: { dir_path: '/var/lib/qubes/vm-kernels' } },
    ],
    // Others may use the machine, but its memory must not run out.
    machine: { memory: here.memory, cpus: 8 },
    qubes: [
      { name: 'dom0', class: 'AdminVM', label: 'black' },
      ...Array.from({ length: here.older }, (_, at) => ({
        ...infrastructure,
        name: `older-${at}`,
        class: 'StandaloneVM' as const,
        properties: { netvm: null },
      })),
      ...NAMES_OF_ROLES.os.slice(0, 2).map((name) => ({
        ...infrastructure,
        name,
        class: 'TemplateVM' as const,
        properties: name === here.roles.os ? here.defaults : {},
      })),
      ...(here.roles.os === 'whonix-18'
        ? [{ ...infrastructure, name: 'whonix-18', class: 'TemplateVM' as const }]
        : []),
      ...NAMES_OF_ROLES.net.map((name) => ({
        ...infrastructure,
        name,
        class: 'AppVM' as const,
        template: here.roles.os,
        state: 'Running' as const,
        properties: { netvm: null, provides_network: true },
      })),
      ...NAMES_OF_ROLES.dvm.map((name) => ({
        ...infrastructure,
        name,
        class: 'AppVM' as const,
        template: here.roles.os,
        properties: { netvm: here.roles.net, template_for_dispvms: true },
      })),
      ...['ai', 'lab'].flatMap((world) => [
        {
          ...infrastructure,
          name: world === 'ai' ? 'mcp-control' : 'lab-control',
          class: 'AppVM' as const,
          template: here.roles.os,
          state: 'Running' as const,
          features: { ...infrastructure.features, 'tag-created-vm-with': `${world}-managed` },
          properties: { netvm: here.roles.net, default_dispvm: null },
        },
        {
          ...infrastructure,
          name: `sys-${world}-net`,
          class: 'AppVM' as const,
          template: here.roles.os,
          state: 'Running' as const,
          properties: { netvm: here.roles.net, provides_network: true },
        },
        {
          ...infrastructure,
          name: `${world}-debian`,
          class: 'TemplateVM' as const,
          tags: [`${world}-managed`, `${world}-full`],
          properties: { netvm: null, memory: 400, maxmem: 4000, vcpus: 2 },
        },
      ]),
      {
        ...infrastructure,
        name: 'ai-dvm',
        class: 'AppVM',
        template: 'ai-debian',
        tags: ['ai-managed', 'ai-full'],
        properties: { netvm: 'sys-ai-net', template_for_dispvms: true, default_dispvm: null },
      },
      ...pair.inside.map((qube) => ({
        name: qube.name,
        class: qube.class,
        label: qube.label,
        ...(qube.template !== null && { template: named(qube.template)! }),
        state: qube.state,
        tags: [...qube.tags],
        features: { ...qube.features },
        firewall: [...qube.firewall],
        devices: [...qube.devices],
        // Every value that an agent may read is set, so that none comes from a template outside.
        properties: {
          ...qube.flags,
          netvm: named(qube.network),
          default_dispvm: named(qube.disposables),
          management_dispvm: named(qube.management),
          memory: qube.memory,
          maxmem: 2 * qube.memory,
          vcpus: qube.vcpus,
        },
        volumes: { private: { size: 2 ** 32, usage: qube.used } },
      })),
      ...Array.from({ length: here.disposables }, (_, at) => ({
        ...infrastructure,
        name: `disp90${at}`,
        dispid: 900 + at,
        class: 'DispVM' as const,
        template: here.roles.dvm,
        state: 'Running' as const,
        tags: ['created-by-dom0', 'disp-created-by-dom0'],
        properties: { netvm: null },
      })),
      ...here.qubes.map((qube) => ({
        name: qube.name,
        class: qube.class,
        label: qube.label,
        ...(qube.class === 'AppVM' && {
          template: qube.template === 'os' ? here.roles.os : qube.template,
        }),
        state: qube.running && qube.class !== 'TemplateVM' ? ('Running' as const) : ('Halted' as const),
        tags: [...qube.tags],
        features: { ...qube.features },
        devices: [...qube.devices],
        properties: {
          netvm: qube.network === 'net' ? here.roles.net : qube.network,
          memory: qube.memory,
        },
        volumes: { private: { size: 2 ** 32, usage: qube.used } },
      })),
    ],
    qmcp,
  };
}
