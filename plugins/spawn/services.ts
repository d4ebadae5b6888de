import {
  defineHostService,
  defineInvariant,
  defineTargetService,
  type HostSnapshot,
  Label,
  NoParams,
  QubeName,
  type QubeSnapshot,
  QubeState,
  READ_CALLS,
  step,
  Type,
  type WorldSnapshot,
} from '../../core/api/index.js';

const born = (before: HostSnapshot, after: HostSnapshot): QubeSnapshot[] => {
  const known = new Set(before.qubes.map((qube) => qube.name));
  return after.qubes.filter((qube) => !known.has(qube.name));
};
const umbrella = (world: WorldSnapshot) => `${world.name}-managed`;
const tombstone = (world: WorldSnapshot) => `${world.name}-tombstone`;

export const namespace = defineInvariant('birth.namespace', {
  statement: 'Created names match the world’s prefix; refusal depends on the shape of the name alone.',
  enforcedBy: 'dom0',
  holds: (before, after, world) => born(before, after).every((qube) => qube.name.startsWith(world.prefix)),
});

export const bornTagged = defineInvariant('birth.tagged-before-named', {
  statement:
    'A created qube carries the umbrella and its owner stamp before the caller learns its name; if a later step fails it is removed.',
  enforcedBy: 'dom0',
  holds: (before, after, world) =>
    born(before, after).every(
      (qube) =>
        qube.tags.includes(umbrella(world)) &&
        world.principals.some((principal) => qube.tags.includes(`created-by-${principal}`)),
    ),
});

export const birthClass = defineInvariant('birth.class', {
  statement: 'Only AppVMs are created; TemplateVM and StandaloneVM never.',
  enforcedBy: 'dom0',
  with: { classes: ['AppVM'] },
  holds: (before, after) => born(before, after).every((qube) => qube.klass === 'AppVM'),
});

export const egressInherited = defineInvariant('birth.egress-inherited', {
  statement:
    'A child of a template sits on the world’s birth gateway or on no network; a template’s own network is never inherited.',
  enforcedBy: 'dom0',
  holds: (before, after, world) =>
    born(before, after).every((qube) => ['', world.birthGateway].includes(qube.properties.netvm ?? '')),
});

export const noEscapeHatch = defineInvariant('birth.no-escape-hatch', {
  statement:
    'Children have no default disposable template, no GUI, audio or management qube outside the world, and no autostart.',
  enforcedBy: 'dom0',
  holds: (before, after) =>
    born(before, after).every(
      (qube) =>
        ['default_dispvm', 'guivm', 'audiovm', 'management_dispvm'].every(
          (property) => (qube.properties[property] ?? '') === '',
        ) && qube.properties.autostart !== 'True',
    ),
});

export const noEscalation = defineInvariant('tiers.no-escalation', {
  statement:
    'No sequence of calls gives the world a capability on any qube that the operator did not give it; children are born at most at their source’s tier.',
  enforcedBy: 'dom0',
  holds: (before, after, world) => {
    const ladder = ['managed', 'exec', 'net', 'full'].map((tier) => `${world.name}-${tier}`);
    const rank = (qube: QubeSnapshot) => Math.max(...qube.tags.map((tag) => ladder.indexOf(tag)), -1);
    const then = new Map(before.qubes.map((qube) => [qube.name, rank(qube)]));
    return after.qubes.every((qube) => {
      const source = then.get(qube.name) ?? then.get(qube.properties.template ?? '') ?? -1;
      return rank(qube) <= source;
    });
  },
});

export const selfExcluded = defineInvariant('scope.self-excluded', {
  statement: 'A principal is never the object of its own call, nor is any other principal, gateway or dom0.',
  enforcedBy: 'dom0',
  holds: (before, after, world) => {
    const excluded = new Set([...world.principals, ...world.gateways, 'dom0']);
    const look = (host: HostSnapshot) => JSON.stringify(host.qubes.filter((qube) => excluded.has(qube.name)));
    return look(before) === look(after);
  },
});

export const removeIsATombstone = defineInvariant('remove.is-a-tombstone', {
  statement:
    'Remove halts, marks and strips tier and umbrella; the qube and its disk stay until the operator’s retention ends.',
  enforcedBy: 'dom0',
  holds: (before, after, world) => {
    const now = new Map(after.qubes.map((qube) => [qube.name, qube]));
    return before.qubes.every((qube) => {
      const left = now.get(qube.name);
      if (left === undefined) return false;
      if (!left.tags.includes(tombstone(world))) return true;
      return (
        left.state === 'Halted' &&
        !left.tags.some((tag) => tag === umbrella(world) || tag === `${world.name}-full`)
      );
    });
  },
});

const Memory = Type.Integer({ minimum: 64, maximum: 1_048_576, description: 'MiB' });
const Timeout = Type.Integer({ minimum: 1, maximum: 600, description: 'seconds' });

export const create = defineHostService('qmcp.spawn.Create', {
  effect: 'write',
  qubes: { template: 'exec' },
  params: Type.Object(
    {
      name: QubeName,
      template: QubeName,
      label: Type.Optional(Label),
      network: Type.Optional(Type.Enum(['inherit', 'none'])),
      memory: Type.Optional(Memory),
      vcpus: Type.Optional(Type.Integer({ minimum: 1, maximum: 64 })),
      private_size: Type.Optional(Type.Integer({ minimum: 1, maximum: 2 ** 50, description: 'bytes' })),
      start: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  invariants: [namespace, bornTagged, birthClass, egressInherited, noEscapeHatch, noEscalation, selfExcluded],
  calls: [
    ...READ_CALLS,
    'admin.vm.Create.AppVM',
    'admin.vm.Start',
    'admin.vm.property.Set',
    'admin.vm.tag.Set',
    'admin.vm.volume.Resize',
  ],
  steps: [
    step.create({
      name: '$name',
      template: '$template',
      label: '$label',
      network: '$network',
      memory: '$memory',
      vcpus: '$vcpus',
      private_size: '$private_size',
    }),
    step.power({ qube: '$name', to: 'running', when: '$start' }),
    step.read({ qube: '$name' }),
  ],
  reply: QubeState,
});

export const start = defineTargetService('qmcp.spawn.Start', {
  effect: 'write',
  capability: 'exec',
  params: NoParams,
  invariants: [selfExcluded],
  calls: [...READ_CALLS, 'admin.vm.Start'],
  steps: [step.power({ qube: '$target', to: 'running' }), step.read({ qube: '$target' })],
  reply: QubeState,
});

export const shutdown = defineTargetService('qmcp.spawn.Shutdown', {
  effect: 'write',
  capability: 'exec',
  params: Type.Object({ timeout: Type.Optional(Timeout) }, { additionalProperties: false }),
  invariants: [selfExcluded],
  calls: [...READ_CALLS, 'admin.vm.Shutdown'],
  steps: [step.power({ qube: '$target', to: 'halted', timeout: '$timeout' }), step.read({ qube: '$target' })],
  reply: QubeState,
});

export const remove = defineTargetService('qmcp.spawn.Remove', {
  effect: 'destroy',
  capability: 'full',
  params: NoParams,
  invariants: [selfExcluded, removeIsATombstone],
  calls: [...READ_CALLS, 'admin.vm.Kill', 'admin.vm.feature.Set', 'admin.vm.tag.Remove', 'admin.vm.tag.Set'],
  steps: [step.entomb({ qube: '$target' })],
  reply: Type.Object({ removed: QubeName }, { additionalProperties: false }),
});
