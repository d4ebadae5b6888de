import { expect, test } from 'vitest';
import { stateOf, toolsOf } from '../../test/support/tools.js';
import storage from './plugin.js';

const lines = [{ line: 'qubes', used: 3, limit: 32, left: 29 }];

test('budget_get shows the budget line by line', async () => {
  const tools = await toolsOf(storage, { 'qmcp.storage.Budget': () => ({ lines }) });
  expect(await tools.call('budget_get', {})).toEqual({ lines });
  expect(tools.calls()).toEqual([['@adminvm', 'qmcp.storage.Budget', {}]]);
});

test('volume_grow accepts only a whole number of bytes', async () => {
  const grown = stateOf('ai-one', { disk: { size: 2 ** 32, used: 0 } });
  const tools = await toolsOf(storage, { 'qmcp.storage.Grow': () => grown });
  expect(await tools.call('volume_grow', { qube: 'ai-one', size: 2 ** 32 })).toEqual(grown);
  expect(tools.calls()).toEqual([['ai-one', 'qmcp.storage.Grow', { size: 2 ** 32 }]]);
  for (const size of [1.5, 0, -1, '10', 2 ** 63, true])
    expect(await tools.call('volume_grow', { qube: 'ai-one', size })).toBe('invalid-request');
  expect(tools.calls()).toHaveLength(1);
});
