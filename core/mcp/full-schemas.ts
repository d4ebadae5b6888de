/*
 * The full form of the schemas of tools: those that check the calls, without what says nothing to a reader, and without what
 * common vendors of models refuse. See docs/adr/008-what-a-model-is-shown.md.
 */
import { TYPES } from '../api/generated/types.js';
import { type DescribedSchema, type ObjectSchema, type Schema, typeOf } from './schemas.js';

/** A bound of this size or more is about memory; it tells a caller nothing. */
const LARGE: Readonly<Record<string, number>> = { maxLength: 1024, maxItems: 100, maximum: 2 ** 31 };

/** Keywords whose values are schemas, lists of schemas, or records of schemas. */
const ONE = ['items', 'not', 'contains', 'additionalProperties', 'if', 'then', 'else'];
const MANY = ['anyOf', 'oneOf', 'allOf', 'prefixItems'];
const NAMED = ['properties', '$defs', 'dependentSchemas'];

/** Of the name of a qube, the shape tells nothing either: a caller has the name from a list. */
const ofQubeName = ({ pattern }: Schema) => pattern === TYPES.qube_name.pattern;

export function fullInput(schema: Schema): DescribedSchema {
  return rewritten(schema, (keyword, value, within) => {
    if (ofQubeName(within) && (keyword === 'pattern' || keyword === 'maxLength')) return false;
    const bound = LARGE[keyword];
    return bound === undefined || typeof value !== 'number' || value < bound;
  });
}

/** Bounds of a result are left out: a reader has the result. */
const OF_RESULTS = /^(pattern|min|max|exclusive|additionalProperties$|uniqueItems$|format$)/;

/** A refused call has this instead of its result. The text of the refusal says what is in it. */
const REFUSAL = { type: 'object' };

/** A result, or a refusal: some clients check both against this schema. */
export function fullOutput(schema: Schema): ObjectSchema {
  const { required, anyOf, ...shown } = rewritten(schema, (keyword) => !OF_RESULTS.test(keyword));
  const properties = { ...(shown.properties as object), error: REFUSAL };
  const results = (anyOf as unknown[] | undefined) ?? (required === undefined ? [] : [{ required }]);
  const either = results.length === 0 ? {} : { anyOf: [...results, { required: ['error'] }] };
  return { ...shown, type: 'object', properties, ...either };
}

type Keeps = (keyword: string, value: unknown, within: Schema) => boolean;

/** A copy with the keywords that `keeps` lets through, at every depth. */
function rewritten(schema: Schema, keeps: Keeps): DescribedSchema {
  const of = (part: unknown): unknown => (isSchema(part) ? rewritten(part, keeps) : part);
  const kept = Object.entries(unpatterned(schema)).filter(([keyword, value]) =>
    keeps(keyword, value, schema),
  );
  const copy: DescribedSchema = {};
  const type = typeOf(schema);
  if (type !== undefined) copy.type = type;
  for (const [keyword, value] of kept) {
    if (ONE.includes(keyword)) copy[keyword] = of(value);
    else if (MANY.includes(keyword)) copy[keyword] = (value as unknown[]).map(of);
    else if (NAMED.includes(keyword))
      copy[keyword] = Object.fromEntries(
        Object.entries(value as object).map(([name, part]) => [name, of(part)]),
      );
    else copy[keyword] = value;
  }
  return copy;
}

/** Some vendors refuse `patternProperties`. A record with one pattern becomes a record; the pattern is still checked. */
function unpatterned(schema: Schema): Schema {
  const { patternProperties, ...others } = schema;
  const [values, ...more] = Object.values(patternProperties ?? {});
  const isRecord = values !== undefined && more.length === 0 && schema.properties === undefined;
  return isRecord ? { ...others, additionalProperties: values } : schema;
}

const isSchema = (part: unknown): part is Schema =>
  typeof part === 'object' && part !== null && !Array.isArray(part);
