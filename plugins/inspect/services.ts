import {
  axioms,
  defineHostService,
  defineTargetService,
  Label,
  Memory,
  NoParams,
  QubeListing,
  QubeState,
  step,
  Type,
  Vcpus,
} from '../../core/api/index.js';

const { existenceHidden, valuesRedacted, tiersUnreadable, selfExcluded, propsAllowlist, budgetHard } = axioms;

export const list = defineHostService('qmcp.inspect.List', {
  effect: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted, tiersUnreadable],
  steps: [step.list()],
  reply: QubeListing,
});

export const state = defineTargetService('qmcp.inspect.State', {
  effect: 'read',
  capability: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted, tiersUnreadable],
  steps: [step.read({ qube: '$target' })],
  reply: QubeState,
});

/** Sets all of the properties or none. The operator lists for each world which of them an agent may set. */
export const set = defineTargetService('qmcp.inspect.Set', {
  effect: 'write',
  capability: 'full',
  params: Type.Object(
    {
      label: Type.Optional(Label),
      memory: Type.Optional(Memory),
      maxmem: Type.Optional(Memory),
      vcpus: Type.Optional(Vcpus),
      default_user: Type.Optional(Type.String({ pattern: '^[a-zA-Z0-9_.-]*$', maxLength: 64 })),
    },
    { additionalProperties: false },
  ),
  invariants: [propsAllowlist, budgetHard, selfExcluded],
  steps: [
    step.property({
      qube: '$target',
      label: '$label',
      memory: '$memory',
      maxmem: '$maxmem',
      vcpus: '$vcpus',
      default_user: '$default_user',
    }),
    step.read({ qube: '$target' }),
  ],
  reply: QubeState,
});

/** Without a value, the feature is removed. */
export const featureSet = defineTargetService('qmcp.inspect.FeatureSet', {
  effect: 'write',
  capability: 'full',
  params: Type.Object(
    {
      feature: Type.String({ pattern: '^[a-zA-Z0-9_.-]*$', maxLength: 64 }),
      value: Type.Optional(Type.String({ pattern: '^[a-zA-Z0-9_.-]*$', maxLength: 64 })),
    },
    { additionalProperties: false },
  ),
  invariants: [propsAllowlist, selfExcluded],
  steps: [
    step.feature({ qube: '$target', feature: '$feature', value: '$value' }),
    step.read({ qube: '$target' }),
  ],
  reply: QubeState,
});
