import { describe, expect, test } from 'vitest';
import * as api from './index.js';

/** Every object that can be reached from what a plugin imports, with the way there. Functions are not shared state. */
function* reached(value: unknown, path: string, seen = new Set<unknown>()): Generator<[string, object]> {
  if (typeof value !== 'object' || value === null || seen.has(value)) return;
  seen.add(value);
  yield [path, value];
  for (const key of Reflect.ownKeys(value))
    yield* reached(Reflect.get(value, key), `${path}.${String(key)}`, seen);
}

describe('objects that all plugins import', () => {
  test('no plugin can change them for another', () => {
    const { Type: _, ...ours } = api;
    const open = Object.entries(ours)
      .flatMap(([name, value]) => [...reached(value, name)])
      .filter(([, value]) => !Object.isFrozen(value) && value.constructor !== undefined)
      .map(([path]) => path);
    expect(open).toEqual([]);
    expect(Object.isFrozen(api.Refused.prototype)).toBe(true);
    expect(() => Object.assign(api.QubeName, { pattern: '.*' })).toThrow(TypeError);
    expect(() => Object.assign(api.step, { power: () => ({}) })).toThrow(TypeError);
    expect(() => Object.assign(api.axioms.selfExcluded.with, { anyone: true })).toThrow(TypeError);
  });

  test('a refusal from another copy of the package is recognised', () => {
    class Refused extends Error {
      override readonly name = 'Refused';
      constructor(readonly code: string) {
        super(code);
      }
    }
    expect(new Refused('conflict')).toBeInstanceOf(api.Refused);
    expect(new Refused('vault-is-running')).not.toBeInstanceOf(api.Refused);
    expect(new api.Refused('busy')).toBeInstanceOf(api.Refused);
    for (const other of [new Error('x'), { code: 'busy', name: 'Refused' }, null, 'busy'])
      expect(other).not.toBeInstanceOf(api.Refused);
  });
});
