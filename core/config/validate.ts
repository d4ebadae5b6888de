import type { TSchema } from 'typebox';
import { Compile } from 'typebox/schema';
import { ConfigFile } from './schema.js';

/** A configuration nobody can start from. The message names the source, the path in it, and what was expected. */
export class BadConfig extends Error {
  override readonly name = 'BadConfig';
}

const shape = Compile(ConfigFile);

/** `source` is the file, or what else the value came from, as the message shall call it. */
export function validated(source: string, untrusted_value: unknown): ConfigFile {
  if (shape.Check(untrusted_value)) return untrusted_value;
  const [, faults] = shape.Errors(untrusted_value);
  const lines = faults
    .filter(({ keyword }) => keyword !== 'boolean')
    .flatMap((fault) => faultLines(fault, untrusted_value));
  throw new BadConfig(lines.map((line) => `${source}: ${line}`).join('\n'));
}

interface Fault {
  readonly keyword: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: unknown;
}

function faultLines({ keyword, instancePath, message, params }: Fault, root: unknown): string[] {
  const steps = instancePath.split('/').slice(1);
  const here = dotted(steps);
  if (keyword === 'additionalProperties') {
    const known = Object.keys(propertiesAt(steps));
    return (params as { additionalProperties: string[] }).additionalProperties.map((key) => {
      const near = nearest(key, known);
      const hint = near ? `did you mean ${JSON.stringify(near)}?` : `expected one of ${known.join(', ')}`;
      return `${dotted([...steps, key])}: unknown key; ${hint}`;
    });
  }
  const expected =
    keyword === 'enum'
      ? `must be one of ${(params as { allowedValues: unknown[] }).allowedValues.map((v) => JSON.stringify(v)).join(', ')}`
      : message;
  return [`${here || 'the whole of it'}: ${expected}, not ${JSON.stringify(valueAt(root, steps))}`];
}

const dotted = (steps: readonly string[]): string =>
  steps.reduce(
    (path, step) => (/^\d+$/.test(step) ? `${path}[${step}]` : path ? `${path}.${step}` : step),
    '',
  );

function propertiesAt(steps: readonly string[]): Readonly<Record<string, TSchema>> {
  let properties = ConfigFile.properties as Record<string, TSchema>;
  for (const step of steps)
    properties = (properties[step] as { properties?: Record<string, TSchema> } | undefined)?.properties ?? {};
  return properties;
}

function valueAt(root: unknown, steps: readonly string[]): unknown {
  return steps.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], root);
}

/** The known name a person most likely meant: at most two edits away, or differing only in case. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, edits: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  return ranked[0] !== undefined && ranked[0].edits <= 2 ? ranked[0].candidate : undefined;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
