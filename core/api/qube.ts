import { Type } from '../vendor/typebox.js';
import { POWER_STATES } from './generated/names.js';
import { TYPES } from './generated/types.js';
import { frozen } from './internal/frozen.js';
import { QubeName } from './names.js';

/** Power state as an agent sees it: `starting` until qrexec answers, `stopping` while it goes down. */
export const PowerState = frozen(Type.Enum([...POWER_STATES]));

/** One line of a listing: what `step.list` yields for each qube. */
export const QubeSummary = frozen(
  Type.Object(
    { name: QubeName, class: Type.String({ maxLength: 32 }), state: PowerState },
    { additionalProperties: false },
  ),
);

/** The qubes that an agent may see, and the prefix for names of new ones: the result of `step.list`. */
export const QubeListing = frozen(
  Type.Object(
    { prefix: Type.String({ maxLength: 31 }), qubes: Type.Array(QubeSummary) },
    { additionalProperties: false },
  ),
);

/**
 * One qube in full: what `step.read` yields. `template` and `network` are a visible qube's name, `<out-of-scope>`, or
 * null for none. `memory` and `maxmem` are MiB, `disk` is the private volume in bytes, `features`
 * those the operator lists for the world.
 */
export const QubeState = frozen(
  Type.Object(
    {
      name: QubeName,
      class: Type.String({ maxLength: 32 }),
      state: PowerState,
      label: Type.String({ maxLength: 32 }),
      template: Type.Union([Type.String({ maxLength: 32 }), Type.Null()]),
      network: Type.Union([Type.String({ maxLength: 32 }), Type.Null()]),
      memory: Type.Integer(),
      maxmem: Type.Integer(),
      vcpus: Type.Integer(),
      disk: Type.Object({ size: Type.Integer(), used: Type.Integer() }, { additionalProperties: false }),
      features: Type.Array(
        Type.Object(
          { name: Type.String({ maxLength: 64 }), value: Type.String({ maxLength: 64 }) },
          { additionalProperties: false },
        ),
      ),
    },
    { additionalProperties: false },
  ),
);

/** Parameters of a service that needs nothing but its target. */
export const NoParams = frozen(Type.Object({}, { additionalProperties: false }));

export const Memory = frozen(
  Type.Integer({ minimum: TYPES.memory.minimum, maximum: TYPES.memory.maximum, description: 'MiB' }),
);
export const Vcpus = frozen(Type.Integer({ minimum: TYPES.vcpus.minimum, maximum: TYPES.vcpus.maximum }));
export const Bytes = frozen(
  Type.Integer({ minimum: TYPES.size.minimum, maximum: TYPES.size.maximum, description: 'bytes' }),
);
