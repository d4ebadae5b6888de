import {
  axioms,
  defineHostService,
  defineTargetService,
  NoParams,
  OUT_OF_SCOPE,
  QubeListing,
  QubeName,
  step,
  Type,
} from '../../core/api/index.js';

const { existenceHidden, valuesRedacted, bothEnds, selfExcluded } = axioms;

export const DeviceClass = Type.Enum(['block', 'usb', 'mic']);
/** The name of a device on the qube that has it. */
export const Port = Type.String({ pattern: '^[a-z0-9_.-]+$', minLength: 1, maxLength: 32 });

export const Device = Type.Object(
  {
    class: DeviceClass,
    device: Type.String({ maxLength: 64 }),
    backend: Type.String({ maxLength: 32, description: `the qube that has it, or ${OUT_OF_SCOPE}` }),
    attached: Type.Boolean(),
    description: Type.String({ maxLength: 64 }),
  },
  { additionalProperties: false },
);
const Devices = Type.Object({ devices: Type.Array(Device) }, { additionalProperties: false });

/** The qubes whose devices can be listed. */
export const qubes = defineHostService('qmcp.devices.Qubes', {
  effect: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted],
  steps: [step.list()],
  reply: QubeListing,
});

/** The devices that a qube offers (`attached` false), and the devices of other qubes that it uses (`attached` true). */
export const list = defineTargetService('qmcp.devices.List', {
  effect: 'read',
  capability: 'read',
  params: NoParams,
  invariants: [existenceHidden, valuesRedacted],
  steps: [step.devices({ qube: '$target' })],
  reply: Devices,
});

/** Called on the qube that will use the device. */
export const attach = defineTargetService('qmcp.devices.Attach', {
  effect: 'write',
  capability: 'full',
  qubes: { backend: 'full' },
  params: Type.Object(
    { class: DeviceClass, backend: QubeName, device: Port, read_only: Type.Optional(Type.Boolean()) },
    { additionalProperties: false },
  ),
  invariants: [bothEnds, selfExcluded],
  steps: [
    step.attach({
      qube: '$target',
      devclass: '$class',
      backend: '$backend',
      device: '$device',
      read_only: '$read_only',
    }),
    step.devices({ qube: '$target' }),
  ],
  reply: Devices,
});

export const detach = defineTargetService('qmcp.devices.Detach', {
  effect: 'write',
  capability: 'full',
  qubes: { backend: 'full' },
  params: Type.Object(
    { class: DeviceClass, backend: QubeName, device: Port },
    { additionalProperties: false },
  ),
  invariants: [bothEnds, selfExcluded],
  steps: [
    step.detach({ qube: '$target', devclass: '$class', backend: '$backend', device: '$device' }),
    step.devices({ qube: '$target' }),
  ],
  reply: Devices,
});
