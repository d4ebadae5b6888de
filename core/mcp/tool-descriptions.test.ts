import fc from 'fast-check';
import { Compile } from 'typebox/schema';
import { expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import { valuesOf } from '../../test/support/values.js';
import { type Tool, type TSchema, Type } from '../api/index.js';
import { describeTools } from './tool-descriptions.js';

const exact = { additionalProperties: false };
const service = serviceOf('a');
const shown = (input: TSchema, output: TSchema) =>
  describeTools([toolOf('a_say', service, { input, output })])[0]!;

test('the description of an argument has only what a caller needs', () => {
  const { inputSchema } = shown(
    Type.Object(
      {
        name: Type.String({ pattern: '^a', maxLength: 3 }),
        colour: Type.Optional(Type.Enum(['red', 'blue'])),
        memory: Type.Optional(Type.Integer({ minimum: 64, maximum: 2 ** 20, description: 'MiB' })),
        port: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
        // A property may be called as a keyword is.
        pattern: Type.Union([Type.String(), Type.Null()]),
        rules: Type.Array(Type.Object({ to: Type.String() }, exact), { maxItems: 3 }),
      },
      exact,
    ),
    Type.Object({}),
  );
  expect(inputSchema).toEqual({
    type: 'object',
    properties: {
      name: { type: 'string' },
      colour: { enum: ['red', 'blue'] },
      memory: { type: 'integer', minimum: 64, description: 'MiB' },
      port: { type: 'integer' },
      pattern: { type: ['string', 'null'] },
      rules: {
        type: 'array',
        items: { type: 'object', properties: { to: { type: 'string' } }, required: ['to'] },
      },
    },
    required: ['name', 'pattern', 'rules'],
  });
});

test('the description of a result lists its fields and their contents in words', () => {
  const rule = Type.Object({ to: Type.String(), ports: Type.Optional(Type.String()) }, exact);
  const { outputSchema } = shown(
    Type.Object({}),
    Type.Object(
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
    ),
  );
  expect(outputSchema).toEqual({
    type: 'object',
    description:
      '{by: world|operator, state, rule: {to, ports?}, names, qubes: [{qube, rules: [{to, ports?}], tags}]}',
  });
});

test('a repeated output schema is described by a reference to the first tool that has it', () => {
  const state = Type.Object({ name: Type.String(), class: Type.String(), label: Type.String() }, exact);
  const of = (name: string, output: TSchema) => toolOf(name, service, { output });
  const [first, second, small, smaller] = describeTools([
    of('a_state', state),
    of('a_start', state),
    of('a_word_with_a_long_name', Type.Object({ a: Type.String() })),
    of('a_other', Type.Object({ a: Type.String() })),
  ]);
  expect(first!.outputSchema).toHaveProperty('description', '{name, class, label}');
  expect(second!.outputSchema).toEqual({ type: 'object', description: 'as of a_state' });
  expect(smaller!.outputSchema).toEqual(small!.outputSchema);
});

test('every value that fits the complete schema fits the described one, and so does a refusal', () => {
  for (const { tools } of BUILT_IN)
    for (const tool of tools as readonly Tool[]) {
      const { inputSchema, outputSchema } = describeTools([tool])[0]!;
      const drawn = new Map([
        [inputSchema, tool.input],
        [outputSchema, tool.output],
      ] as const);
      for (const [told, whole] of drawn)
        for (const value of fc.sample(valuesOf(whole), { numRuns: 20, seed: 5 }))
          expect([tool.name, value, Compile(told as TSchema).Check(value)]).toEqual([tool.name, value, true]);
      expect(Compile(outputSchema as TSchema).Check({ error: { code: 'not-found' } })).toBe(true);
    }
});
