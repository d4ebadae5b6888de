import {
  axioms,
  Bytes,
  defineHostService,
  defineTargetService,
  NoParams,
  QubeState,
  step,
  Type,
} from '../../core/api/index.js';

const { numbersPrivate, budgetHard, selfExcluded } = axioms;

export const budget = defineHostService('qmcp.storage.Budget', {
  effect: 'read',
  params: NoParams,
  invariants: [numbersPrivate],
  steps: [step.budget()],
  reply: Type.Object(
    {
      lines: Type.Array(
        Type.Object(
          {
            line: Type.String({ maxLength: 32 }),
            used: Type.Integer(),
            limit: Type.Integer(),
            left: Type.Integer(),
          },
          { additionalProperties: false },
        ),
      ),
    },
    { additionalProperties: false },
  ),
});

export const grow = defineTargetService('qmcp.storage.Grow', {
  effect: 'write',
  capability: 'full',
  params: Type.Object({ size: Bytes }, { additionalProperties: false }),
  invariants: [budgetHard, selfExcluded],
  steps: [step.grow({ qube: '$target', size: '$size' }), step.read({ qube: '$target' })],
  reply: QubeState,
});
