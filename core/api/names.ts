import { Type } from '../vendor/typebox.js';
import { frozen } from './internal/frozen.js';

/**
 * The name of a qube, as Qubes OS accepts one: a letter, then letters, digits, `_`, `.` or `-`; 31 characters at most.
 * Shape only: whether such a qube exists, or may be seen, is for dom0 to say.
 */
export const QubeName = frozen(Type.String({ pattern: '^[a-zA-Z][a-zA-Z0-9_.-]*$', maxLength: 31 }));

/** The eight labels every Qubes host has. Custom labels are the operator's and never reach an agent. */
export const Label = frozen(
  Type.Enum(['red', 'orange', 'yellow', 'green', 'gray', 'blue', 'purple', 'black']),
);

/** What a reply says instead of the name of a qube the caller may not see. */
export const OUT_OF_SCOPE = '<out-of-scope>';

/**
 * The tier ladder, least authority first. A qube with only the world's umbrella tag is at `read`;
 * the tags `<world>-exec`, `<world>-net` and `<world>-full` raise it, each including the ones before it.
 */
export const TIERS = Object.freeze(['read', 'exec', 'net', 'full'] as const);
export type Tier = (typeof TIERS)[number];
