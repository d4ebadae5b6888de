import {
  axioms,
  Bytes,
  defineHostService,
  defineTargetService,
  Label,
  Memory,
  NoParams,
  QubeName,
  QubeState,
  step,
  Type,
  Vcpus,
} from '../../core/api/index.js';

const {
  birthClass,
  budgetHard,
  gatewaysAsDeclared,
  gatewaysOnly,
  namespace,
  noEscalation,
  ofEveryBirth,
  removeIsATombstone,
  selfExcluded,
} = axioms;

export const create = defineHostService('qmcp.spawn.Create', {
  effect: 'write',
  qubes: { template: 'exec' },
  params: Type.Object(
    {
      name: QubeName,
      template: QubeName,
      class: Type.Optional(Type.Enum(['AppVM', 'DispVMTemplate'])),
      label: Type.Optional(Label),
      network: Type.Optional(Type.Enum(['inherit', 'none'])),
      memory: Type.Optional(Memory),
      maxmem: Type.Optional(Memory),
      vcpus: Type.Optional(Vcpus),
      private_size: Type.Optional(Bytes),
      start: Type.Optional(Type.Boolean()),
    },
    { additionalProperties: false },
  ),
  invariants: [namespace, birthClass('AppVM', 'DispVMTemplate'), ...ofEveryBirth],
  steps: [
    step.create({
      name: '$name',
      template: '$template',
      kind: '$class',
      label: '$label',
      network: '$network',
      memory: '$memory',
      maxmem: '$maxmem',
      vcpus: '$vcpus',
      private_size: '$private_size',
    }),
    step.power({ qube: '$name', to: 'running' }, { when: '$start' }),
    step.read({ qube: '$name' }),
  ],
  reply: QubeState,
});

export const clone = defineHostService('qmcp.spawn.Clone', {
  effect: 'write',
  qubes: { source: 'exec' },
  params: Type.Object({ source: QubeName, name: QubeName }, { additionalProperties: false }),
  invariants: [namespace, birthClass('AppVM', 'DispVMTemplate'), ...ofEveryBirth],
  steps: [step.clone({ name: '$name', source: '$source' }), step.read({ qube: '$name' })],
  reply: QubeState,
});

/** Created and started in one step: the platform chooses the name, so no further step could refer to it. */
export const disposable = defineHostService('qmcp.spawn.Disposable', {
  effect: 'write',
  qubes: { template: 'exec' },
  params: Type.Object({ template: QubeName }, { additionalProperties: false }),
  invariants: [birthClass('DispVM'), ...ofEveryBirth],
  steps: [step.disposable({ template: '$template' })],
  reply: Type.Object({ name: QubeName }, { additionalProperties: false }),
});

export const start = defineTargetService('qmcp.spawn.Start', {
  effect: 'write',
  capability: 'exec',
  params: NoParams,
  invariants: [gatewaysOnly, gatewaysAsDeclared, budgetHard, selfExcluded],
  steps: [step.power({ qube: '$target', to: 'running' }), step.read({ qube: '$target' })],
  reply: QubeState,
});

export const pause = defineTargetService('qmcp.spawn.Pause', {
  effect: 'write',
  capability: 'exec',
  params: NoParams,
  invariants: [selfExcluded],
  steps: [step.power({ qube: '$target', to: 'paused' }), step.read({ qube: '$target' })],
  reply: QubeState,
});

export const unpause = defineTargetService('qmcp.spawn.Unpause', {
  effect: 'write',
  capability: 'exec',
  params: NoParams,
  invariants: [gatewaysAsDeclared, selfExcluded],
  steps: [step.power({ qube: '$target', to: 'resumed' }), step.read({ qube: '$target' })],
  reply: QubeState,
});

// These two do not read the qube afterwards: a disposable no longer exists when it has halted.

export const shutdown = defineTargetService('qmcp.spawn.Shutdown', {
  effect: 'write',
  capability: 'exec',
  params: Type.Object(
    { timeout: Type.Optional(Type.Integer({ minimum: 1, maximum: 600, description: 'seconds' })) },
    { additionalProperties: false },
  ),
  invariants: [selfExcluded],
  steps: [step.power({ qube: '$target', to: 'halted', timeout: '$timeout' })],
  reply: NoParams,
});

export const kill = defineTargetService('qmcp.spawn.Kill', {
  effect: 'destroy',
  capability: 'exec',
  params: NoParams,
  invariants: [selfExcluded],
  steps: [step.power({ qube: '$target', to: 'killed' })],
  reply: NoParams,
});

export const remove = defineTargetService('qmcp.spawn.Remove', {
  effect: 'destroy',
  capability: 'full',
  params: NoParams,
  invariants: [removeIsATombstone, selfExcluded],
  steps: [step.entomb({ qube: '$target' })],
  reply: Type.Object({ removed: QubeName }, { additionalProperties: false }),
});

/** Not called on the qube: a removed qube is not a member of the world, and no policy line allows a call to it. */
export const restore = defineHostService('qmcp.spawn.Restore', {
  effect: 'write',
  params: Type.Object({ qube: QubeName }, { additionalProperties: false }),
  invariants: [removeIsATombstone, noEscalation, selfExcluded],
  steps: [step.restore({ qube: '$qube' })],
  reply: Type.Object({ restored: QubeName }, { additionalProperties: false }),
});
