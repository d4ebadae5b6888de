import { expect, test } from 'vitest';
import { stateOf, toolsOf } from '../../test/support/tools.js';
import inspect from './plugin.js';

const dom0 = {
  'qmcp.inspect.Set': () => stateOf('ai-one', { label: 'blue' }),
  'qmcp.inspect.FeatureSet': () => stateOf('ai-one'),
};

test('qube_set sets properties in one call on the qube, and returns their new values', async () => {
  const tools = await toolsOf(inspect, dom0);
  const properties = { label: 'blue', memory: 800 };
  expect(await tools.call('qube_set', { qube: 'ai-one', properties })).toMatchObject({ label: 'blue' });
  expect(tools.calls()).toEqual([['ai-one', 'qmcp.inspect.Set', properties]]);
});

test.each([
  ['no property', {}],
  ['an unknown property', { netvm: 'sys-net' }],
  ['a gateway', { provides_network: true }],
  ['an unknown label', { label: 'pink' }],
  ['half a megabyte', { memory: 400.5 }],
  ['no memory at all', { memory: 0 }],
  ['true for a number', { vcpus: true }],
  ['more memory than the most', { memory: 5000, maxmem: 4000 }],
])('qube_set never asks dom0 for %s', async (_what, properties) => {
  const tools = await toolsOf(inspect, dom0);
  expect(await tools.call('qube_set', { qube: 'ai-one', properties })).toBe('invalid-request');
  expect(tools.calls()).toEqual([]);
});

test('qube_feature_set sets a feature, and null removes it', async () => {
  const tools = await toolsOf(inspect, dom0);
  await tools.call('qube_feature_set', { qube: 'ai-one', feature: 'service.cups', value: '1' });
  await tools.call('qube_feature_set', { qube: 'ai-one', feature: 'service.cups', value: null });
  expect(tools.calls().map(([, , params]) => params)).toEqual([
    { feature: 'service.cups', value: '1' },
    { feature: 'service.cups' },
  ]);
});
