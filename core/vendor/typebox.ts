/** The parts of the schema library that are used. Its 500 files become one when scripts/flatten.mjs has run. */
export type { Static, TObject, TProperties, TSchema } from 'typebox';
export { Type } from 'typebox';
export { Check, Compile, Errors } from 'typebox/schema';
