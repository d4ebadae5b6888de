import {
  axioms,
  defineHostService,
  defineTargetService,
  NoParams,
  QubeListing,
  QubeState,
  step,
} from '../../core/api/index.js';

const {
  existenceHidden,
  valuesRedacted,
  neverWidens,
  gatewaysOnly,
  gatewaysAsDeclared,
  restrictionsInherit,
  selfExcluded,
} = axioms;

/** The qubes on the map. */
export const map = defineHostService('qmcp.networking.Map', {
  effect: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted],
  steps: [step.list()],
  reply: QubeListing,
});

export const state = defineTargetService('qmcp.networking.State', {
  effect: 'read',
  capability: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted],
  steps: [step.read({ qube: '$target' })],
  reply: QubeState,
});

export const disconnect = defineTargetService('qmcp.networking.Disconnect', {
  effect: 'write',
  capability: 'net',
  params: NoParams,
  invariants: [neverWidens, restrictionsInherit, selfExcluded],
  steps: [step.network({ qube: '$target', to: 'none' }), step.read({ qube: '$target' })],
  reply: QubeState,
});

export const reconnect = defineTargetService('qmcp.networking.Reconnect', {
  effect: 'write',
  capability: 'net',
  params: NoParams,
  invariants: [neverWidens, gatewaysOnly, gatewaysAsDeclared, restrictionsInherit, selfExcluded],
  steps: [step.network({ qube: '$target', to: 'home' }), step.read({ qube: '$target' })],
  reply: QubeState,
});
