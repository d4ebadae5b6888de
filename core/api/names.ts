import { Type } from '../vendor/typebox.js';
import { LIMITS } from './generated/limits.js';
import { NAMES, TIERS } from './generated/names.js';
import { TYPES } from './generated/types.js';
import { frozen } from './internal/frozen.js';

/**
 * The name of a qube, as Qubes OS accepts one: a letter, then letters, digits, `_`, `.` or `-`; 31 characters at most.
 * Shape only: whether such a qube exists, or may be seen, is for dom0 to say.
 */
export const QubeName = frozen(
  Type.String({ pattern: TYPES.qube_name.pattern, maxLength: TYPES.qube_name.maxLength }),
);

/** The eight labels every Qubes host has. Custom labels are the operator's and never reach an agent. */
export const Label = frozen(Type.Enum([...NAMES.labels]));

/** What a reply says instead of the name of a qube the caller may not see. */
export const OUT_OF_SCOPE = NAMES.out_of_scope;

/**
 * The tier ladder, least authority first, each tier including the ones before it. A qube with only the world's umbrella tag is at the
 * first; a tag for each of the others raises it.
 */
export { TIERS };
export type Tier = (typeof TIERS)[number];

/** Every number that bounds something, as dom0 has it: dom0/spec/limits.toml says what each bounds. */
export { LIMITS };
