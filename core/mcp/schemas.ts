/** The schemas of tools as a client is told of them. */

/** The part of JSON Schema that the tools of plugins may use. Every other keyword is passed on as it is. */
export interface Schema {
  readonly [keyword: string]: unknown;
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly description?: string;
  readonly minimum?: number;
  readonly maximum?: number;
}

export interface DescribedSchema {
  [keyword: string]: unknown;
}

export type ObjectSchema = DescribedSchema & { type: 'object' };

/** The schema's type. An enumeration has the type of its values: some vendors refuse one without a type. */
export function typeOf(schema: Schema): string | undefined {
  if (schema.type !== undefined) return schema.type;
  const types = new Set(
    [...(schema.enum ?? []), ...('const' in schema ? [schema.const] : [])].map(nameOfType),
  );
  return types.size === 1 ? [...types][0] : undefined;
}

function nameOfType(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}
