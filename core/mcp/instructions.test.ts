import { expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { pluginOf } from '../../test/support/plugins.js';
import { INSTRUCTIONS, instructionsOf } from './instructions.js';

const TOOLS = BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => name as string));

test("the server's instructions contain the sentences of the loaded plugins, in their order", () => {
  const plugins = [
    pluginOf('a', { instructions: ['First a.', 'Then a_say.'] }),
    pluginOf('b'),
    pluginOf('c', { instructions: ['Last c.'] }),
  ];
  expect(instructionsOf(plugins, ['a_say', 'c_say'])).toBe(`${INSTRUCTIONS} First a. Then a_say. Last c.`);
});

test('a sentence about a tool that is not served is left out', () => {
  const plugin = pluginOf('a', { instructions: ['Use a_say.', 'There is more.', 'a_says is another word.'] });
  expect(instructionsOf([plugin], [])).toBe(`${INSTRUCTIONS} There is more. a_says is another word.`);
});

test('the instructions name no tool unless it is served', () => {
  const named = (text: string) => TOOLS.filter((name) => new RegExp(`\\b${name}\\b`).test(text));
  expect(named(INSTRUCTIONS)).toEqual([]);
  expect(named(instructionsOf(BUILT_IN, []))).toEqual([]);
  expect(named(instructionsOf(BUILT_IN, TOOLS))).toEqual(expect.arrayContaining(['qube_list', 'exec_run']));
});
