import { type TObject, type TProperties, type TSchema, Type } from '../vendor/typebox.js';
import { frozen } from './internal/frozen.js';

/** The description of one argument of a tool. */
export interface Description {
  readonly description: string;
  /** The value that the tool uses when the argument is absent. */
  readonly default?: unknown;
}

/** A copy of a schema with a description, so that a schema of a contract can stay as dom0 has it. */
export function described<S extends TSchema>(schema: S, told: string | Description): S {
  const { description, default: value } = typeof told === 'string' ? { description: told } : told;
  const words = { description, ...(value !== undefined && { default: value }) };
  // The library marks schemas with properties of its own, which are not enumerable and stay so.
  const copy = Object.create(Object.getPrototypeOf(schema), {
    ...Object.getOwnPropertyDescriptors(schema),
    ...Object.getOwnPropertyDescriptors(words),
  });
  return frozen(copy);
}

/** The input of a tool: an object with exactly these arguments, each of which is described. */
export function describedInput<P extends TProperties>(
  properties: P,
  told: { readonly [K in keyof P]: string | Description },
): TObject<P> {
  const copies = Object.entries(properties).map(([name, schema]) => [name, described(schema, told[name]!)]);
  return Type.Object(Object.fromEntries(copies), { additionalProperties: false }) as TObject<P>;
}
