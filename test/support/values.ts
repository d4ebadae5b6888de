import fc from 'fast-check';

/** The part of JSON Schema, as TypeBox writes it, that tools use. */
export interface Schema {
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly (string | number)[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
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

/** A generator for a property of that name instead of its schema; undefined to use the schema. */
export type Known = (name: string, schema: Schema) => fc.Arbitrary<unknown> | undefined;

/** Small values that fit a schema. */
export function valuesOf(schema: object, known: Known = () => undefined, name = ''): fc.Arbitrary<unknown> {
  const { type, anyOf, enum: words, items, properties = {}, required = [], ...bounds } = schema as Schema;
  const drawn = known(name, schema as Schema);
  if (drawn !== undefined) return drawn;
  if (anyOf) return fc.oneof(...anyOf.map((one) => valuesOf(one, known, name)));
  if (words) return fc.constantFrom(...words);
  switch (type) {
    case 'object': {
      const [pair] = Object.entries(bounds.patternProperties ?? {});
      if (pair)
        return fc.dictionary(fc.stringMatching(new RegExp(pair[0])), valuesOf(pair[1], known), {
          maxKeys: 2,
        });
      const members = Object.entries(properties).map(([key, member]) => [key, valuesOf(member, known, key)]);
      const record = Object.fromEntries(members) as Record<string, fc.Arbitrary<unknown>>;
      return fc.record(record, { requiredKeys: [...required] });
    }
    case 'array': {
      const { minItems = 0, maxItems = minItems + 3 } = bounds;
      return fc.array(valuesOf(items ?? {}, known, name), {
        minLength: minItems,
        maxLength: Math.min(maxItems, minItems + 3),
      });
    }
    case 'string': {
      const { minLength = 0, maxLength = 20, pattern } = bounds;
      const size = { minLength, maxLength: Math.max(minLength, Math.min(maxLength, 20)) };
      if (pattern === undefined) return fc.string(size);
      // A row of any length of one class of characters: a filter would hardly ever let one of a certain length through.
      const [, unit] = /^\^(\[[^\]]+\])[*+]\$$/.exec(pattern) ?? [];
      if (unit !== undefined)
        return fc.string({
          ...size,
          minLength: Math.max(1, minLength),
          unit: fc.stringMatching(new RegExp(`^${unit}$`)),
        });
      return fc
        .stringMatching(new RegExp(pattern), { size: 'small' })
        .filter((text) => text.length >= minLength && text.length <= (bounds.maxLength ?? 64));
    }
    case 'integer':
      return fc.integer({ min: bounds.minimum ?? -(2 ** 31), max: bounds.maximum ?? 2 ** 31 });
    case 'boolean':
      return fc.boolean();
    default:
      return fc.constant(null);
  }
}
