import { describe, expect, test } from 'vitest';
import { type TSchema, Type } from '../api/index.js';
import { Compile } from '../vendor/typebox.js';
import { invalidRequest } from './faults.js';

const closed = { additionalProperties: false };
const schema = Type.Object(
  {
    qube: Type.String({ pattern: '^a', description: 'a name that begins with a' }),
    colour: Type.Optional(Type.Enum(['red', 'blue'])),
    count: Type.Optional(Type.Integer({ minimum: 1, maximum: 5 })),
    command: Type.Optional(
      Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String(), { minItems: 1 })]),
    ),
    env: Type.Optional(Type.Record(Type.String({ pattern: '^[A-Z]+/?$' }), Type.String(), closed)),
    rules: Type.Optional(Type.Array(Type.Object({ to: Type.String() }, closed))),
    label: Type.Optional(Type.Union([Type.Enum(['x', 'y']), Type.Null()])),
  },
  closed,
);

function problemsOf(value: unknown, of: TSchema = schema): string[] {
  const { code, data } = invalidRequest(of, Compile(of).Errors(value)[1]);
  expect(code).toBe('invalid-request');
  return (data!.problems as { at: string; problem: string }[]).map(({ at, problem }) => `${at} ${problem}`);
}

describe('the refusal of malformed arguments', () => {
  test.each<[string, unknown, string[]]>([
    ['a missing argument', {}, ['/qube is required']],
    [
      'an unknown argument, with those that there are',
      { qube: 'a', extra: 1 },
      ['/extra is unknown; allowed: qube, colour, count, command, env, rules, label'],
    ],
    [
      'an unknown property inside an argument',
      { qube: 'a', rules: [{ to: 'x' }, { to: 'x', action: 'accept' }] },
      ['/rules/1/action is unknown; allowed: to'],
    ],
    [
      'a word that is not in a list, with the list',
      { qube: 'a', colour: 'pink' },
      ['/colour must be "red" or "blue"'],
    ],
    ['a number beyond a bound', { qube: 'a', count: 9 }, ['/count must be <= 5']],
    [
      'a text that does not match, with its description',
      { qube: 'b' },
      ['/qube must match pattern "^a": a name that begins with a'],
    ],
    [
      'an empty text where a list was possible',
      { qube: 'a', command: '' },
      ['/command must not have fewer than 1 characters'],
    ],
    [
      'an empty list where a text was possible',
      { qube: 'a', command: [] },
      ['/command must not have fewer than 1 items'],
    ],
    ['a wrong entry of a list', { qube: 'a', command: ['x', 1] }, ['/command/1 must be string']],
    ['a value of none of several types', { qube: 'a', command: 7 }, ['/command must be string or array']],
    ['a wrong word where null was possible', { qube: 'a', label: 'z' }, ['/label must be "x" or "y"']],
    [
      'a wrong name in a record',
      { qube: 'a', env: { path: 'x' } },
      ['/env/path is not a name that matches ^[A-Z]+/?$'],
    ],
    [
      'a wrong value in a record, whose name has a slash',
      { qube: 'a', env: { 'A/': 1 } },
      ['/env/A~1 must be string'],
    ],
    ['something that is no object', [], ['/ must be object']],
  ])('it names %s', (_what, value, problems) => {
    expect(problemsOf(value)).toEqual(problems);
  });

  test('a tool without arguments says so', () => {
    expect(problemsOf({ a: 1 }, Type.Object({}, closed))).toEqual(['/a is unknown; there are no arguments']);
  });

  test('a refusal names at most five faults and no long text, and shows no invisible character of the request', () => {
    const many = Object.fromEntries(Array.from({ length: 9 }, (_, n) => [`x${n}`, 1]));
    expect(problemsOf({ qube: 'a', ...many })).toHaveLength(5);
    const [problem] = problemsOf({ qube: 'a', [`\u001b[31m\u202e${'k'.repeat(10_000)}`]: 1 });
    expect(problem!.startsWith('/kkk')).toBe(true);
    expect(problem!.length).toBeLessThan(1000);
  });

  test('a refusal repeats no value', () => {
    const value = { qube: 'secret', colour: 'secret', count: 'secret', command: { secret: 'secret' } };
    expect(problemsOf(value).join()).not.toContain('secret');
  });
});
