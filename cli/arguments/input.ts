/** Reads `key=value` arguments of a command line as the input of a tool. */
import { nearestName } from '../../core/config/fault.js';

/** A command line that cannot be carried out: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
}

/**
 * A value is text where its schema allows text, and JSON otherwise. A list of texts may be written a,b; `a.b=…` sets key b of a.
 * A value that does not fit is passed on unchanged, so that the tool's schema rejects it. Throws UsageError.
 */
export function argumentsOf(input: unknown, words: readonly string[]): Record<string, unknown> {
  const root = input as Schema;
  const value: Record<string, unknown> = {};
  for (const word of words) {
    const [, dotted, text] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    if (dotted === undefined || text === undefined)
      throw new UsageError(`${JSON.stringify(word)}: expected key=value`);
    const path = dotted.split('.');
    let schema = root;
    let at = value;
    for (const [index, key] of path.entries()) {
      const properties = schema.properties ?? {};
      const allowed = Object.keys(properties);
      const next = Object.hasOwn(properties, key) ? properties[key] : undefined;
      // An object that allows any key, such as an environment, declares no properties.
      if (next === undefined && allowed.length > 0) {
        const near = nearestName(key, allowed);
        throw new UsageError(
          `${dotted}: unknown key; ${near ? `did you mean ${near}?` : `allowed: ${allowed.join(', ')}`}`,
        );
      }
      schema = next ?? { type: 'string' };
      if (index === path.length - 1) {
        if (Object.hasOwn(at, key)) throw new UsageError(`${dotted}: given twice`);
        define(at, key, parseValue(schema, text));
      } else {
        if (!Object.hasOwn(at, key)) define(at, key, {});
        at = at[key] as Record<string, unknown>;
      }
    }
  }
  return value;
}

/** Plain assignment would not create a key such as `__proto__`. */
const define = (at: object, key: string, value: unknown) =>
  Object.defineProperty(at, key, { value, enumerable: true, configurable: true, writable: true });

export function parseValue(schema: Schema, text: string): unknown {
  const branches = schema.anyOf ?? [schema];
  const takes = (kind: string) =>
    branches.some(
      ({ type, enum: words }) => [type].flat().includes(kind) || (kind === 'string' && words?.includes(text)),
    );
  const json = parseJson(text);
  if (takes('null') && json === null) return null;
  if (takes('array') && Array.isArray(json)) return json;
  if (takes('object') && typeof json === 'object' && json !== null) return json;
  if (takes('string')) return text;
  if (takes('array')) {
    const items = branches.find(({ type }) => type === 'array')?.items ?? {};
    return text === '' ? [] : text.split(',').map((part) => parseValue(items, part.trim()));
  }
  return json === undefined ? text : json;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
