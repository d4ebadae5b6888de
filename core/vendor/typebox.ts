/** The schema library, as far as it is used: 500 files of it, and one once scripts/flatten.mjs has run. */
export type { Static, TObject, TProperties, TSchema } from 'typebox';
export { Type } from 'typebox';
export { Check, Compile, Errors } from 'typebox/schema';
