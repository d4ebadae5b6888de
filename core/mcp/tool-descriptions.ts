import type { Tool } from '../api/index.js';
import { annotationsOf } from './annotations.js';

/*
 * Tool descriptions for a client's model: see docs/adr/008-what-a-model-is-shown.md. They contain only what a reader needs to
 * make a call and to read the answer. Every call is still checked against the complete schemas, and dom0 checks its contract.
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

/** The part of JSON Schema that tools use, as TypeBox writes it. */
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

/** The tools in their order. A repeated output schema becomes a reference to the first tool that has it. */
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

/** Bounds outside this range do not help a reader. */
const BOUNDS = { least: 1, most: 65_535 };

/** Describes an input: its properties, which of them are required, and the possible values. */
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
 * Describes an output in words: its fields and their contents. Types and bounds are omitted, because the reader has the
 * result. No field is required, because a refused call has `error` instead, and some clients check that against this schema.
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

/** The most words of an enumeration that are listed for an output; a reader of the result sees the actual one. */
const MAX_WORDS = 4;

const wordsOf = ({ enum: words, description }: Schema): string =>
  words !== undefined && words.length <= MAX_WORDS ? words.join('|') : (description ?? '');

/** The other schema of a union with null; undefined for any other schema. */
function nonNull({ anyOf }: Schema): (Schema & { type: string }) | undefined {
  const [one, other] = anyOf ?? [];
  if (anyOf?.length !== 2 || other?.type !== 'null' || one?.type === undefined) return undefined;
  return one as Schema & { type: string };
}
