import type { Tool } from '../api/index.js';
import { annotationsOf } from './annotations.js';

/*
 * Tools as a client's model is told of them: see docs/adr/008-what-a-model-is-shown.md. Every call is still held against the
 * whole schemas, and what dom0 is asked against its contract; this is what a reader needs to make a call and to read the answer.
 */

export interface ToolDescription {
  [key: string]: unknown;
  readonly name: string;
  readonly description: string;
  readonly inputSchema: DescribedSchema & { type: 'object' };
  readonly outputSchema: DescribedSchema & { type: 'object' };
  readonly annotations: ReturnType<typeof annotationsOf>;
}

interface DescribedSchema {
  [key: string]: unknown;
}

/** JSON Schema as TypeBox writes it, of the part that tools use. */
interface Schema {
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

/** Tools in their order. An output that one before has too is told by that one's name. */
export function describeTools(tools: readonly Tool[]): ToolDescription[] {
  const first = new Map<string, string>();
  return tools.map((tool) => {
    const output = outputOf(tool.output as Schema);
    const key = JSON.stringify(output);
    const before = first.get(key);
    if (before === undefined) first.set(key, tool.name);
    const reference = { type: 'object' as const, description: `as of ${before}` };
    const shorter = before !== undefined && JSON.stringify(reference).length < key.length;
    return {
      name: tool.name,
      description: tool.description,
      inputSchema: inputOf(tool.input as Schema) as ToolDescription['inputSchema'],
      outputSchema: shorter ? reference : output,
      annotations: annotationsOf(tool),
    };
  });
}

/** Below and above these a bound tells a reader nothing. */
const BOUNDS = { least: 1, most: 65_535 };

/** What can be asked for: its parts, which must be there, and the words and numbers that are possible. */
function inputOf(schema: Schema): DescribedSchema {
  const { type, anyOf, items, properties = {}, required = [], description, minimum, maximum } = schema;
  const single = nonNull(schema);
  if (single !== undefined) return { ...inputOf(single), type: [single.type, 'null'] };
  const parts = Object.entries(properties).map(([name, part]) => [name, inputOf(part)]);
  return {
    ...(type && { type }),
    ...(schema.enum && { enum: schema.enum }),
    ...(anyOf && { anyOf: anyOf.map(inputOf) }),
    ...(items && { items: inputOf(items) }),
    ...(parts.length > 0 && { properties: Object.fromEntries(parts) }),
    ...(required.length > 0 && { required }),
    ...(minimum !== undefined && minimum > BOUNDS.least && { minimum }),
    ...(maximum !== undefined && maximum < BOUNDS.most && { maximum }),
    ...(description && { description }),
  };
}

/**
 * What comes back, in words: its fields, and what is inside of those. Types and bounds would tell nobody more who has the result
 * before them. Nothing is required, because a refused call has an `error` in their place, and some clients hold that against this
 * schema too.
 */
function outputOf(schema: Schema): DescribedSchema & { type: 'object' } {
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

/** Words of an enumeration that are told of a result; of more, a reader sees which it is. */
const MAX_WORDS = 4;

const wordsOf = ({ enum: words, description }: Schema): string =>
  words !== undefined && words.length <= MAX_WORDS ? words.join('|') : (description ?? '');

/** What it is when it is not null, where it can be. */
function nonNull({ anyOf }: Schema): (Schema & { type: string }) | undefined {
  const [one, other] = anyOf ?? [];
  if (anyOf?.length !== 2 || other?.type !== 'null' || one?.type === undefined) return undefined;
  return one as Schema & { type: string };
}
