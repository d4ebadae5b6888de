import fc from 'fast-check';
import { Compile } from 'typebox/schema';
import { describe, expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import { valuesOf } from '../../test/support/values.js';
import { described, describedInput, QubeName, type Tool, type TSchema, Type } from '../api/index.js';
import type { Schema } from './schemas.js';
import { describeTools, type SchemaForm } from './tool-descriptions.js';

const exact = { additionalProperties: false };
const service = serviceOf('a');
const shown = (form: SchemaForm, input: TSchema, output: TSchema = Type.Object({})) =>
  describeTools([toolOf('a_say', service, { input, output })], { form })[0]!;

const TOOLS = BUILT_IN.flatMap(({ tools }) => tools as readonly Tool[]);
const rule = Type.Object({ to: Type.String(), ports: Type.Optional(Type.String()) }, exact);

describe('the full schemas of a tool', () => {
  test('an argument is shown with everything that tells a caller something', () => {
    const { inputSchema } = shown(
      'full',
      Type.Object(
        {
          colour: described(Type.Optional(Type.Enum(['red', 'blue'])), { description: 'a', default: 'red' }),
          count: Type.Integer({ minimum: 0, maximum: 2 ** 40 }),
          mode: Type.String({ pattern: '^[0-7]+$', maxLength: 4 }),
          text: Type.String({ minLength: 1, maxLength: 32_768 }),
          when: Type.String({ format: 'date-time' }),
          fixed: Type.Literal('x'),
          qube: QubeName,
          value: Type.Union([Type.String(), Type.Null()]),
          env: Type.Record(Type.String({ pattern: '^[A-Z]+$' }), Type.String({ maxLength: 9 }), exact),
          rules: Type.Array(rule, { maxItems: 3 }),
        },
        exact,
      ),
    );
    expect(inputSchema).toEqual({
      type: 'object',
      additionalProperties: false,
      required: ['count', 'mode', 'text', 'when', 'fixed', 'qube', 'value', 'env', 'rules'],
      properties: {
        colour: { type: 'string', enum: ['red', 'blue'], description: 'a', default: 'red' },
        count: { type: 'integer', minimum: 0 },
        mode: { type: 'string', pattern: '^[0-7]+$', maxLength: 4 },
        text: { type: 'string', minLength: 1 },
        when: { type: 'string', format: 'date-time' },
        fixed: { type: 'string', const: 'x' },
        qube: { type: 'string' },
        value: { anyOf: [{ type: 'string' }, { type: 'null' }] },
        env: { type: 'object', additionalProperties: { type: 'string', maxLength: 9 } },
        rules: {
          type: 'array',
          maxItems: 3,
          items: {
            type: 'object',
            additionalProperties: false,
            required: ['to'],
            properties: { to: { type: 'string' }, ports: { type: 'string' } },
          },
        },
      },
    });
  });

  test('keywords of JSON Schema that no built-in tool uses are passed on', () => {
    const input = {
      type: 'object',
      properties: { a: { $ref: '#/$defs/word' }, b: { oneOf: [{ type: 'string' }, { enum: [1, 2] }] } },
      $defs: { word: { enum: ['x'] } },
      allOf: [{ properties: { b: { const: 2 } } }],
    };
    expect(shown('full', input as unknown as TSchema).inputSchema).toEqual({
      ...input,
      properties: {
        ...input.properties,
        b: { oneOf: [{ type: 'string' }, { type: 'integer', enum: [1, 2] }] },
      },
      $defs: { word: { type: 'string', enum: ['x'] } },
      allOf: [{ properties: { b: { type: 'integer', const: 2 } } }],
    });
  });

  test('a result is shown with its fields and types, and a refusal fits in its place', () => {
    const output = Type.Object({ state: Type.Enum(['on', 'off']), rules: Type.Array(rule) }, exact);
    const { outputSchema } = shown('full', Type.Object({}), output);
    expect(outputSchema).toEqual({
      type: 'object',
      properties: {
        state: { type: 'string', enum: ['on', 'off'] },
        rules: {
          type: 'array',
          items: {
            type: 'object',
            properties: { to: { type: 'string' }, ports: { type: 'string' } },
            required: ['to'],
          },
        },
        error: { type: 'object' },
      },
      anyOf: [{ required: ['state', 'rules'] }, { required: ['error'] }],
    });
    const check = (value: unknown) => Compile(outputSchema as TSchema).Check(value);
    expect(check({ state: 'on', rules: [] })).toBe(true);
    expect(check({ error: { code: 'not-found' } })).toBe(true);
    expect([check({}), check({ state: 'on' }), check({ state: 1, rules: [] })]).toEqual([
      false,
      false,
      false,
    ]);
  });

  test('a tool has its title', () => {
    expect(shown('full', Type.Object({}))).toMatchObject({ title: 'Say a word' });
  });
});

describe('the lean schemas of a tool', () => {
  test('an argument is shown with the least that a caller needs', () => {
    const { inputSchema } = shown(
      'lean',
      Type.Object(
        {
          name: Type.String({ pattern: '^a', maxLength: 3 }),
          colour: Type.Optional(Type.Enum(['red', 'blue'])),
          memory: Type.Optional(Type.Integer({ minimum: 64, maximum: 2 ** 20, description: 'MiB' })),
          port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
          // A property may be called as a keyword is.
          pattern: Type.Union([Type.String(), Type.Null()]),
          rules: Type.Array(rule, { maxItems: 3 }),
        },
        exact,
      ),
    );
    expect(inputSchema).toEqual({
      type: 'object',
      properties: {
        name: { type: 'string' },
        colour: { type: 'string', enum: ['red', 'blue'] },
        memory: { type: 'integer', minimum: 64 },
        port: { type: 'integer' },
        pattern: { anyOf: [{ type: 'string' }, { type: 'null' }] },
        rules: {
          type: 'array',
          items: {
            type: 'object',
            properties: { to: { type: 'string' }, ports: { type: 'string' } },
            required: ['to'],
          },
        },
      },
      required: ['name', 'pattern', 'rules'],
    });
  });

  test('a result is described by its fields and their contents in words', () => {
    const output = Type.Object(
      {
        by: Type.Enum(['world', 'operator']),
        state: Type.Enum(['1', '2', '3', '4', '5']),
        rule: Type.Union([rule, Type.Null()]),
        names: Type.Array(Type.String()),
        qubes: Type.Array(
          Type.Object({ qube: Type.String(), rules: Type.Array(rule), tags: Type.Array(Type.String()) }),
        ),
      },
      exact,
    );
    expect(shown('lean', Type.Object({}), output).outputSchema).toEqual({
      type: 'object',
      description:
        '{by: world|operator, state, rule: {to, ports?}, names, qubes: [{qube, rules: [{to, ports?}], tags}]}',
    });
  });

  test('a repeated output schema is described by a reference to the first tool that has it', () => {
    const state = Type.Object({ name: Type.String(), class: Type.String(), label: Type.String() }, exact);
    const of = (name: string, output: TSchema) => toolOf(name, service, { output });
    const [first, second, small, smaller] = describeTools(
      [
        of('a_state', state),
        of('a_start', state),
        of('a_word_with_a_long_name', Type.Object({ a: Type.String() })),
        of('a_other', Type.Object({ a: Type.String() })),
      ],
      { form: 'lean' },
    );
    expect(first!.outputSchema).toHaveProperty('description', '{name, class, label}');
    expect(second!.outputSchema).toEqual({ type: 'object', description: 'as of a_state' });
    expect(smaller!.outputSchema).toEqual(small!.outputSchema);
  });
});

describe('what a client is told of the built-in tools', () => {
  test.each(['full', 'lean'] as const)(
    'every value that fits the complete schema fits the %s one, and so does a refusal',
    (form) => {
      for (const tool of TOOLS) {
        const { inputSchema, outputSchema } = describeTools([tool], { form })[0]!;
        const drawn = new Map([
          [inputSchema, tool.input],
          [outputSchema, tool.output],
        ] as const);
        for (const [told, whole] of drawn)
          for (const value of fc.sample(valuesOf(whole), { numRuns: 20, seed: 5 }))
            expect([tool.name, value, Compile(told as TSchema).Check(value)]).toEqual([
              tool.name,
              value,
              true,
            ]);
        expect(Compile(outputSchema as TSchema).Check({ error: { code: 'not-found' } })).toBe(true);
      }
    },
  );

  test('every argument of every tool is described', () => {
    const missing = (path: string, { properties = {}, items, description }: Schema): string[] => [
      ...(description === undefined && path.includes('/') ? [path] : []),
      ...Object.entries(properties).flatMap(([name, part]) => missing(`${path}/${name}`, part)),
      ...Object.entries(items?.properties ?? {}).flatMap(([name, part]) => missing(`${path}/${name}`, part)),
    ];
    const shown = describeTools(TOOLS, { form: 'full' });
    expect(shown.flatMap(({ name, inputSchema }) => missing(name, inputSchema))).toEqual([]);
  });

  test('a description added to an argument changes neither the schema it was copied from nor its contract', () => {
    const before = JSON.stringify(QubeName);
    const input = describedInput(
      { qube: QubeName, word: Type.Optional(Type.String()) },
      { qube: 'a', word: 'b' },
    );
    expect(JSON.stringify(QubeName)).toBe(before);
    expect(input).toMatchObject({ required: ['qube'], properties: { qube: { description: 'a' } } });
    expect(Compile(input).Check({ qube: 'ai-one' })).toBe(true);
    expect(Compile(input).Check({ word: 'x' })).toBe(false);
  });
});
