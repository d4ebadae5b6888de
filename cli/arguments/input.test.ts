import { describe, expect, test } from 'vitest';
import { Type } from '../../core/api/index.js';
import { argumentsOf, UsageError } from './input.js';

const input = Type.Object({
  qube: Type.String(),
  start: Type.Optional(Type.Boolean()),
  memory: Type.Optional(Type.Integer()),
  command: Type.Optional(Type.Union([Type.String(), Type.Array(Type.String())])),
  kinds: Type.Optional(Type.Array(Type.Enum(['started', 'stopped']))),
  value: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  rules: Type.Optional(Type.Array(Type.Object({ to: Type.String() }))),
  properties: Type.Optional(
    Type.Object({ label: Type.Optional(Type.String()), vcpus: Type.Optional(Type.Integer()) }),
  ),
  env: Type.Optional(Type.Record(Type.String(), Type.String())),
});
const read = (...words: string[]) => argumentsOf(input, words);

describe('key=value', () => {
  test.each<[string[], unknown]>([
    [['qube=ai-one', 'start=true', 'memory=400'], { qube: 'ai-one', start: true, memory: 400 }],
    [['qube=7'], { qube: '7' }],
    [['qube=true'], { qube: 'true' }],
    [['command=ls -l a=b'], { command: 'ls -l a=b' }],
    [['command=["ls","-l"]'], { command: ['ls', '-l'] }],
    [['kinds=started, stopped'], { kinds: ['started', 'stopped'] }],
    [['kinds='], { kinds: [] }],
    [['value=null'], { value: null }],
    [['value=x'], { value: 'x' }],
    [['rules=[{"to":"dns"}]'], { rules: [{ to: 'dns' }] }],
    [['properties.label=red', 'properties.vcpus=2'], { properties: { label: 'red', vcpus: 2 } }],
    [['env.PATH=/bin', 'env.X=1'], { env: { PATH: '/bin', X: '1' } }],
    // A value that does not fit is passed on unchanged: the tool's schema says what is wrong.
    [['memory=much', 'start=maybe'], { memory: 'much', start: 'maybe' }],
  ])('key=value arguments %j become the input that the schema describes', (words, value) => {
    expect(read(...words)).toEqual(value);
  });

  test.each([
    [['quba=x'], 'quba: unknown key; did you mean qube?'],
    [['zzz=x'], 'zzz: unknown key; allowed: qube, start'],
    [['properties.lable=x'], 'properties.lable: unknown key; did you mean label?'],
    [['qube'], '"qube": expected key=value'],
    [['qube=a', 'qube=b'], 'qube: given twice'],
    [['__proto__.x=1'], '__proto__.x: unknown key'],
  ])('key=value arguments %j are rejected with a message that names the fault', (words, message) => {
    expect(() => read(...words)).toThrow(UsageError);
    expect(() => read(...words)).toThrow(message);
    expect({}).not.toHaveProperty('x');
  });
});
