import { axioms, defineStreamService, LIMITS, QubeName, step, Type } from '../../core/api/index.js';

const { existenceHidden, valuesRedacted, tiersUnreadable } = axioms;

/** The events of a qube that an agent may learn about. Tags are never among them. */
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

/** The first reply is `watching`; no event is lost after it. `nothing` says that the stream is still alive. */
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
