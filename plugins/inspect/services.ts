import {
  defineHostService,
  defineInvariant,
  defineTargetService,
  NoParams,
  QubeState,
  QubeSummary,
  READ_CALLS,
  step,
  Type,
} from '../../core/api/index.js';

export const existenceHidden = defineInvariant('scope.existence-hidden', {
  statement:
    'A name that does not exist and a name outside the world get byte-identical replies, after the same kind and number of qubesd calls.',
  enforcedBy: 'dom0',
  // It is about replies; what a check of the host can add is that looking changes nothing.
  holds: (before, after) => JSON.stringify(before) === JSON.stringify(after),
});

export const valuesRedacted = defineInvariant('scope.values-redacted', {
  statement:
    'No reply names a qube outside the world (enrolled gateways excepted), an address, a pool or a volume path.',
  enforcedBy: 'dom0',
  holds: (before, after) => JSON.stringify(before) === JSON.stringify(after),
});

export const list = defineHostService('qmcp.inspect.List', {
  effect: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted],
  calls: ['admin.vm.List', 'admin.vm.tag.List'],
  steps: [step.list()],
  reply: Type.Object(
    { prefix: Type.String({ maxLength: 31 }), qubes: Type.Array(QubeSummary) },
    { additionalProperties: false },
  ),
});

export const state = defineTargetService('qmcp.inspect.State', {
  effect: 'read',
  capability: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted],
  calls: READ_CALLS,
  steps: [step.read({ qube: '$target' })],
  reply: QubeState,
});
