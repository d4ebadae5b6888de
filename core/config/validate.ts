import { Compile, type TSchema, Type } from '../vendor/typebox.js';
import { BadConfig, suggestion } from './fault.js';
import { dotted, type Step } from './path.js';
import { ConfigFile } from './schema.js';

/** Returns the origin of a path as a message starts with it: `qmcp.config.yaml:3`, `--read-only`. */
export type Where = (path: readonly Step[]) => string;

/** The options schema of a plugin that declares none. */
export const NO_OPTIONS = Type.Object({}, { additionalProperties: false });

let shape: ReturnType<typeof Compile<typeof ConfigFile>> | undefined;

/** Throws BadConfig with every fault, one line each. */
export function validate(where: Where, untrusted_value: unknown): ConfigFile {
  shape ??= Compile(ConfigFile);
  if (shape.Check(untrusted_value)) return untrusted_value;
  throw configError(where, ConfigFile, shape.Errors(untrusted_value)[1], untrusted_value, []);
}

/** The same for a part of a configuration with a schema of its own. `at` is its path in the configuration. */
export function validatePart(
  where: Where,
  schema: TSchema,
  untrusted_value: unknown,
  at: readonly Step[],
): void {
  const part = Compile(schema);
  if (part.Check(untrusted_value)) return;
  throw configError(where, schema, part.Errors(untrusted_value)[1], untrusted_value, at);
}

interface Fault {
  readonly keyword: string;
  readonly schemaPath: string;
  readonly instancePath: string;
  readonly message: string;
  readonly params: unknown;
}

function configError(
  where: Where,
  schema: TSchema,
  faults: readonly Fault[],
  root: unknown,
  at: readonly Step[],
): BadConfig {
  const unions = faults
    .filter(({ keyword }) => keyword === 'anyOf')
    .map(({ schemaPath }) => `${schemaPath}/anyOf/`);
  const lines = faults
    // A union reports its branches itself, and a closed object its unknown keys.
    .filter(
      ({ keyword, schemaPath }) =>
        keyword !== 'boolean' && !unions.some((each) => schemaPath.startsWith(each)),
    )
    .flatMap((fault) => {
      const steps = stepsOf(fault.instancePath, root);
      return describeFault(fault, schema, valueAt(root, steps)).map(({ more, text }) => {
        const path = [...at, ...steps, ...more];
        return `${where(path)}: ${dotted(path) || 'the whole configuration'}: ${text}`;
      });
    });
  return new BadConfig([...new Set(lines)].join('\n'));
}

/** Says what to write instead at one faulty place. */
function describeFault(
  { keyword, schemaPath, message, params }: Fault,
  root: TSchema,
  value: unknown,
): { more: string[]; text: string }[] {
  const schema = schemaAt(root, schemaPath);
  if (keyword === 'additionalProperties') {
    const known = Object.keys((schema.properties ?? {}) as object);
    return (params as { additionalProperties: string[] }).additionalProperties.map((key) => ({
      more: [key],
      text: `unknown key; ${known.length > 0 ? suggestion(key, known) : 'no keys are allowed here; remove it'}`,
    }));
  }
  if (keyword === 'required') {
    const missing = (params as { requiredProperties?: string[] }).requiredProperties ?? [];
    return missing.map((key) => ({ more: [key], text: 'is required and has no default; add it' }));
  }
  const { allowedValues } = params as { allowedValues?: unknown[] };
  const words = allowedValues?.filter((each) => typeof each === 'string') ?? [];
  const hint = typeof value === 'string' && words.length > 0 ? suggestion(value, words) : '';
  return [
    {
      more: [],
      text: `${describeExpected(schema, message)}, not ${abbreviate(value)}${hint.startsWith('did') ? `; ${hint}` : ''}`,
    },
  ];
}

/** Says in words what a schema expects. */
export function describeExpected(
  schema: Record<string, unknown>,
  otherwise = 'expected something else',
): string {
  // A keyword of VS Code, which shows it as well.
  if (typeof schema.errorMessage === 'string') return schema.errorMessage;
  if (Array.isArray(schema.enum))
    return `expected one of ${schema.enum.map((each) => JSON.stringify(each)).join(', ')}`;
  const { minimum, maximum } = schema as { minimum?: number; maximum?: number };
  const from = minimum === undefined ? '' : ` from ${minimum}`;
  const to = maximum === undefined ? '' : ` to ${maximum}`;
  const unique = schema.uniqueItems === true ? ' without duplicates' : '';
  const kinds: Readonly<Record<string, string>> = {
    boolean: 'true or false',
    integer: `a whole number${from}${to}`,
    number: `a number${from}${to}`,
    string: typeof schema.pattern === 'string' ? `text that matches ${schema.pattern}` : 'text in quotes',
    array: `a list${unique}`,
    object: 'keys and values',
  };
  const kind = kinds[String(schema.type)];
  return kind === undefined ? otherwise : `expected ${kind}`;
}

function abbreviate(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** A JSON pointer's steps, those into lists as numbers. */
function stepsOf(pointer: string, root: unknown): Step[] {
  let value = root;
  return pointer
    .split('/')
    .slice(1)
    .map((raw) => {
      const step = raw.replaceAll('~1', '/').replaceAll('~0', '~');
      const taken = Array.isArray(value) ? Number(step) : step;
      value = (value as Record<Step, unknown> | undefined)?.[taken];
      return taken;
    });
}

function schemaAt(root: TSchema, schemaPath: string): Record<string, unknown> {
  let schema: unknown = root;
  for (const raw of schemaPath.split('/').slice(1)) {
    const step = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    schema = (schema as Record<string, unknown> | undefined)?.[step];
  }
  return (schema ?? {}) as Record<string, unknown>;
}

function valueAt(root: unknown, steps: readonly Step[]): unknown {
  return steps.reduce<unknown>((value, step) => (value as Record<Step, unknown> | undefined)?.[step], root);
}
