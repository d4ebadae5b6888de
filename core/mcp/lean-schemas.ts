/*
 * The lean form of the schemas of tools: only what a reader needs to make a call and to read the answer, in few tokens. See
 * docs/adr/008-what-a-model-is-shown.md.
 */
import { type DescribedSchema, type ObjectSchema, type Schema, typeOf } from './schemas.js';

/** Bounds outside this range do not help a reader. */
const BOUNDS = { least: 1, most: 65_535 };

/** Describes an input: its properties, which of them are required, and the possible values. */
export function leanInput(schema: Schema): DescribedSchema {
  const { anyOf, items, properties = {}, required = [], minimum, maximum } = schema;
  const parts = Object.entries(properties).map(([name, part]) => [name, leanInput(part)]);
  // Some vendors refuse an object without properties, even where there are none.
  const isObject = 'properties' in schema;
  const type = typeOf(schema);
  return {
    ...(type && { type }),
    ...(schema.enum && { enum: schema.enum }),
    ...(anyOf && { anyOf: anyOf.map(leanInput) }),
    ...(items && { items: leanInput(items) }),
    ...(isObject && { properties: Object.fromEntries(parts) }),
    ...(required.length > 0 && { required }),
    ...(minimum !== undefined && minimum > BOUNDS.least && { minimum }),
    ...(maximum !== undefined && maximum < BOUNDS.most && { maximum }),
  };
}

/**
 * Describes an output in words: its fields and their contents. Types and bounds are omitted, because the reader has the
 * result. No field is required, because a refused call has `error` instead, and some clients check that against this schema.
 */
export function leanOutput(schema: Schema): ObjectSchema {
  const words = describeFields(schema, wordsOf);
  return { type: 'object', ...(words !== '{}' && { description: words }) };
}

/** `[{name, state, rules?: [{to}]}]` */
function describeFields(schema: Schema, words = (_part: Schema) => ''): string {
  const { items, properties, required = [] } = nonNull(schema) ?? schema;
  if (items !== undefined) return `[${describeFields(items)}]`;
  if (properties === undefined) return '';
  const parts = Object.entries(properties).map(([name, part]) => {
    const inside = words(part) || describeFields(part);
    const optional = required.includes(name) ? '' : '?';
    return `${name}${optional}${inside && inside !== '[]' ? `: ${inside}` : ''}`;
  });
  return `{${parts.join(', ')}}`;
}

/** The most words of an enumeration that are listed for an output; a reader of the result sees the actual one. */
const MAX_WORDS = 4;

const wordsOf = ({ enum: words, description }: Schema): string =>
  words !== undefined && words.length <= MAX_WORDS ? words.join('|') : (description ?? '');

/** The other schema of a union with null; undefined for any other schema. */
function nonNull({ anyOf }: Schema): Schema | undefined {
  const [one, other] = anyOf ?? [];
  return anyOf?.length === 2 && other?.type === 'null' ? one : undefined;
}
