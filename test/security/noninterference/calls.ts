import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { packageFile } from '../../../sim/root.js';
import { KNOWN, NAMES, NEW_NAMES, UNUSED } from './hosts.js';

/** The subset of JSON Schema that contracts use: see dom0/qmcpd/schema.py. */
export interface Schema {
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean' | 'null';
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

export interface Contract {
  readonly service: string;
  readonly effect: 'read' | 'write' | 'destroy';
  readonly route: 'dom0' | 'qube';
  readonly target: object | null;
  /** The parameters that name a qube within the caller's reach. */
  readonly qubes: Readonly<Record<string, string>>;
  readonly params: Schema;
  readonly steps: readonly { readonly do: string; readonly with: Readonly<Record<string, string>> }[];
}

export function installedContracts(): Contract[] {
  const directory = packageFile('dom0/contracts');
  return readdirSync(directory)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .map((file) => JSON.parse(readFileSync(`${directory}/${file}`, 'utf8')) as Contract);
}

/** A call from the control qube: through qrexec, or directly to qmcpd as if the policy had allowed it. */
export interface Call {
  readonly via: 'policy' | 'qmcpd';
  readonly service: string;
  readonly target: string;
  readonly payload: string;
}

/** Words that mean something to a host, whatever parameter has them. */
const WORDS = [
  'private',
  'sda',
  'loop0',
  '2-1',
  'mic',
  'block',
  'usb',
  'netvm',
  'label',
  'memory',
  'provides_network',
  'service.cups',
  'internal',
  'True',
  '443',
  '10.137.0.9',
  'example.org',
  'ai-managed',
  'ai-full',
];
const WRONG = [
  null,
  true,
  false,
  1.5,
  -1,
  0,
  2 ** 53,
  '',
  '10',
  'ai-debian',
  [],
  {},
  ['vault'],
  { name: 'vault' },
];
const RAW = [
  '',
  '{',
  '[]',
  '"vault"',
  '{"a":1,"a":2}',
  '{"name":"vault"}',
  '{"x":NaN}',
  '[[[[[[[[[[]]]]]]]]]]',
];
/** So that a call that may wait waits only for a moment. */
const WAITS = /timeout|seconds|wait/i;

const fits = (schema: Schema, text: string) =>
  text.length >= (schema.minLength ?? 0) &&
  text.length <= (schema.maxLength ?? 64) &&
  (schema.pattern === undefined || new RegExp(schema.pattern, 'u').test(text));

function text(schema: Schema, names: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const pair = fc.tuple(names, fc.constantFrom('sda', '2-1', 'mic')).map(([name, port]) => `${name}:${port}`);
  const anything =
    schema.pattern === undefined
      ? fc.string({ minLength: schema.minLength ?? 0, maxLength: Math.min(schema.maxLength ?? 20, 20) })
      : fc.stringMatching(new RegExp(schema.pattern), { size: 'small' });
  const known = fc.oneof(
    { weight: 12, arbitrary: names },
    { weight: 2, arbitrary: fc.constantFrom(...WORDS) },
    { weight: 1, arbitrary: pair },
  );
  // Malformed names are tried too where a name is expected, but rarely, because they never fit.
  return fc.oneof(
    { weight: 1, arbitrary: known },
    {
      weight: 8,
      arbitrary: fc.tuple(known, anything).map(([word, other]) => (fits(schema, word) ? word : other)),
    },
  );
}

function integer({ minimum = -(2 ** 31), maximum = 2 ** 31 }: Schema, name: string): fc.Arbitrary<number> {
  const within = (value: number) => value >= minimum && value <= maximum;
  if (WAITS.test(name)) return fc.constantFrom(minimum, minimum, minimum, minimum - 1, maximum + 1);
  return fc.oneof(
    {
      weight: 6,
      arbitrary: fc.constantFrom(minimum, ...[2, 3, 10, 400, 2 ** 32, 2 ** 33, 2 ** 34].filter(within)),
    },
    { weight: 2, arbitrary: fc.constantFrom(...[minimum + 1, maximum, maximum - 1, 0].filter(within)) },
    { weight: 1, arbitrary: fc.constantFrom(minimum - 1, maximum + 1, -1) },
  );
}

/** Mostly valid values. */
function valueFor(schema: Schema, name: string, names: fc.Arbitrary<string>): fc.Arbitrary<unknown> {
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((option) => valueFor(option, name, names)));
  if (schema.enum) return fc.constantFrom(...schema.enum);
  switch (schema.type) {
    case 'object':
      return object(schema, () => names);
    case 'array': {
      const { minItems = 0, maxItems = 3 } = schema;
      return fc.array(valueFor(schema.items!, name, names), {
        minLength: minItems,
        maxLength: Math.max(minItems, Math.min(maxItems, minItems + 3)),
      });
    }
    case 'string':
      return text(schema, names);
    case 'integer':
      return integer(schema, name);
    case 'boolean':
      return fc.boolean();
    default:
      return fc.constant(null);
  }
}

function object(schema: Schema, namesFor: (key: string) => fc.Arbitrary<string>): fc.Arbitrary<object> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  for (const [key, member] of Object.entries(schema.properties ?? {}))
    members[key] = fc.oneof(
      { weight: 30, arbitrary: valueFor(member, key, namesFor(key)) },
      { weight: 1, arbitrary: fc.constantFrom(...WRONG) },
    );
  return fc.record(members, { requiredKeys: [...(schema.required ?? [])] });
}

/** Any call of any installed service that dom0 answers, and of the catalog. */
export function calls(contracts: readonly Contract[], pastPolicyOnly: boolean): fc.Arbitrary<Call> {
  const services: Pick<Contract, 'service' | 'target' | 'qubes' | 'params'>[] = [
    ...contracts.filter(({ route }) => route === 'dom0'),
    { service: 'qmcp.Catalog', target: null, qubes: {}, params: { type: 'object', properties: {} } },
  ];
  return fc.oneof<fc.WeightedArbitrary<Call>[]>(
    ...services.map(({ service, target, qubes, params }) => ({
      // A call with a duration takes at least a second, so there are few of them.
      weight: params.required?.some((key) => WAITS.test(key)) ? 1 : 10,
      arbitrary: fc.record({
        via: pastPolicyOnly
          ? fc.constant('qmcpd' as const)
          : fc.constantFrom('policy' as const, 'qmcpd' as const),
        // Without a plus, the harness adds the name of the target as argument.
        service: fc.oneof(
          { weight: 20, arbitrary: fc.constant(service) },
          { weight: 1, arbitrary: NAMES.map((argument) => `${service}+${argument}`) },
          { weight: 1, arbitrary: fc.constant(`${service}+`) },
        ),
        // A service with a target is sometimes called on dom0, and the other way round.
        target: fc.oneof(
          { weight: 10, arbitrary: target === null ? fc.constant('@adminvm') : KNOWN },
          { weight: 10, arbitrary: target === null ? fc.constant('@adminvm') : NAMES },
          { weight: 1, arbitrary: target === null ? NAMES : fc.constant('@adminvm') },
        ),
        // Half of them succeed on most hosts, so that later calls can show their effects.
        payload: fc
          .oneof<fc.WeightedArbitrary<object | string>[]>(
            { weight: 12, arbitrary: object(params, (key) => (key in qubes ? KNOWN : UNUSED)) },
            { weight: 12, arbitrary: object(params, (key) => (key in qubes ? NAMES : NEW_NAMES)) },
            { weight: 1, arbitrary: fc.constantFrom(...RAW) },
          )
          .map((value) => (typeof value === 'string' ? value : JSON.stringify(value))),
      }),
    })),
  );
}
