import { expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { modulesBelow } from './modules.js';

test('core names no tool of a plugin, because any plugin may be absent', () => {
  const tools = BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => name as string));
  const names = new RegExp(`\\b(${tools.join('|')})\\b`);
  // The texts of refusals are dom0's.
  const modules = modulesBelow(['core']).filter(({ path }) => !/\/generated\/|\.test\.ts$/.test(path));
  expect(modules.length).toBeGreaterThan(50);
  expect(modules.filter(({ source }) => names.test(source)).map(({ path }) => path)).toEqual([]);
});
