import { axioms, defineStreamService, LIMITS, QubeName, step, Type } from '../../core/api/index.js';

const { existenceHidden, valuesRedacted, tiersUnreadable } = axioms;

/** What can become of a qube, as an agent may hear it; tags never. */
export const KINDS = [
  'appeared',
  'left',
  'starting',
  'started',
  'start-failed',
  'halted',
  'paused',
  'resumed',
  'changed',
  'network-changed',
  'rules-changed',
  'device-attached',
  'device-detached',
] as const;

/** The first reply is `watching`: nothing is missed from there. `nothing` says that the line still stands. */
export const watch = defineStreamService('qmcp.events.Watch', {
  effect: 'read',
  params: Type.Object(
    { seconds: Type.Integer({ minimum: 1, maximum: LIMITS.step_seconds }) },
    { additionalProperties: false },
  ),
  invariants: [existenceHidden, valuesRedacted, tiersUnreadable],
  steps: [step.events({ seconds: '$seconds' })],
  reply: Type.Object(
    { event: Type.Enum([...KINDS, 'watching', 'nothing']), qube: Type.Union([QubeName, Type.Null()]) },
    { additionalProperties: false },
  ),
});
