/** Says what is wrong with an agent's arguments: the place, the rule and what is allowed. */
import { Refused, visible } from '../api/index.js';
import { Compile, type TSchema } from '../vendor/typebox.js';

/** The most faults of the arguments that one refusal names. */
const MAX_FAULTS = 5;
/** The most characters of a place or of a list of what is allowed. */
const MAX_CHARACTERS = 400;

/** A fault as the schema library reports it. */
interface Fault {
  readonly instancePath: string;
  readonly schemaPath: string;
  readonly keyword: string;
  readonly message: string;
  readonly params: unknown;
}

/** One thing that is wrong, and where, as a JSON pointer into the arguments. */
export interface Problem {
  readonly at: string;
  readonly problem: string;
}

/** Depends on the bytes of the request alone. It repeats names of arguments, and no value. */
export function invalidRequest(schema: TSchema, faults: readonly Fault[]): Refused {
  const problems = withoutBranches(faults)
    // Each unknown key is a fault of its own, too, and the library reports only the first few faults.
    .filter(({ keyword }) => keyword !== 'additionalProperties')
    .flatMap((fault) => problemsOf(fault, schema))
    .slice(0, MAX_FAULTS)
    .map(({ at, problem }) => ({ at: shorten(at || '/'), problem: shorten(problem) }));
  return new Refused('invalid-request', { problems });
}

/** Refuses arguments before anything is called; a call checks them again. */
export function refuseInvalid(schema: TSchema, input: unknown): void {
  const compiled = Compile(schema);
  if (!compiled.Check(input)) throw invalidRequest(schema, compiled.Errors(input)[1]);
}

/** The keywords of a schema that a message can use. */
interface Part {
  readonly properties?: object;
  readonly patternProperties?: object;
  readonly description?: string;
}

function problemsOf(
  { instancePath: at, keyword, message, params, schemaPath }: Fault,
  schema: TSchema,
): Problem[] {
  switch (keyword) {
    case 'boolean':
      return [{ at, problem: unknownKey(partAt(schema, schemaPath.replace(/\/[^/]*$/, ''))) }];
    case 'required': {
      const { requiredProperties: keys } = params as { requiredProperties: string[] };
      return keys.map((key) => ({ at: `${at}/${escaped(key)}`, problem: 'is required' }));
    }
    case 'enum': {
      const { allowedValues: values } = params as { allowedValues: unknown[] };
      return [{ at, problem: `must be ${values.map((value) => JSON.stringify(value)).join(' or ')}` }];
    }
    case 'pattern': {
      const { description } = partAt(schema, schemaPath);
      return [{ at, problem: description ? `${message}: ${description}` : message }];
    }
    default:
      return [{ at, problem: message }];
  }
}

function unknownKey({ properties = {}, patternProperties = {} }: Part): string {
  const patterns = Object.keys(patternProperties);
  if (patterns.length > 0) return `is not a name that matches ${patterns.join(' or ')}`;
  const names = Object.keys(properties).join(', ');
  return `is unknown; ${names === '' ? 'there are no arguments' : `allowed: ${names}`}`;
}

/**
 * A union reports its branches. Keeps those whose type the value has; if it has the type of none, one fault names the types.
 */
function withoutBranches(faults: readonly Fault[]): Fault[] {
  const unions = faults.filter(({ keyword }) => keyword === 'anyOf');
  return unions.reduce<readonly Fault[]>((left, union) => {
    const prefix = `${union.schemaPath}/anyOf/`;
    const inside = left.filter(({ schemaPath }) => schemaPath.startsWith(prefix));
    const branchOf = ({ schemaPath }: Fault) => schemaPath.slice(prefix.length).split('/')[0]!;
    const mistyped = inside.filter(
      ({ keyword, instancePath }) => keyword === 'type' && instancePath === union.instancePath,
    );
    const others = new Set(mistyped.map(branchOf));
    const fitting = inside.filter((fault) => !others.has(branchOf(fault)));
    const types = mistyped.map(({ params }) => (params as { type: string }).type);
    const instead = fitting.length > 0 ? fitting : [{ ...union, message: `must be ${types.join(' or ')}` }];
    return left.flatMap((fault) => (fault === union ? instead : inside.includes(fault) ? [] : [fault]));
  }, faults) as Fault[];
}

/** The part of the schema to which the path of a fault leads. Keys of a schema may contain what separates the steps. */
function partAt(schema: unknown, path: string): Part {
  const steps = path.split('/').slice(1);
  let part = schema as Record<string, unknown> | undefined;
  for (let at = 0; at < steps.length && part !== undefined; ) {
    let end = at + 1;
    while (end < steps.length && !Object.hasOwn(part, unescaped(steps.slice(at, end).join('/')))) end += 1;
    part = part[unescaped(steps.slice(at, end).join('/'))] as Record<string, unknown> | undefined;
    at = end;
  }
  return part ?? {};
}

const escaped = (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1');
const unescaped = (step: string) => step.replaceAll('~1', '/').replaceAll('~0', '~');

/** Names of arguments come from the agent's own bytes, and a client may show them. */
function shorten(text: string): string {
  const shown = visible(text).replace(/\s+/g, ' ');
  return shown.length > MAX_CHARACTERS ? `${shown.slice(0, MAX_CHARACTERS - 1)}…` : shown;
}
