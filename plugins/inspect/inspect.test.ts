import { expect, test } from 'vitest';
import { stateOf, toolsOf } from '../../test/support/tools.js';
import inspect from './plugin.js';

const dom0 = {
  'qmcp.inspect.Set': () => stateOf('ai-one', { label: 'blue' }),
  'qmcp.inspect.FeatureSet': () => stateOf('ai-one'),
};

test('properties are set in one call on the qube, and shown as they are then', async () => {
  const tools = await toolsOf(inspect, dom0);
  const properties = { label: 'blue', memory: 800 };
  expect(await tools.call('qube_set', { qube: 'ai-one', properties })).toMatchObject({ label: 'blue' });
  expect(tools.calls()).toEqual([['ai-one', 'qmcp.inspect.Set', properties]]);
});

test.each([
  ['nothing', {}],
  ['a property there is none of', { netvm: 'sys-net' }],
  ['a gateway', { provides_network: true }],
  ['a label of nobody', { label: 'pink' }],
  ['half a megabyte', { memory: 400.5 }],
  ['no memory at all', { memory: 0 }],
  ['true for a number', { vcpus: true }],
])('%s is never asked for', async (_what, properties) => {
  const tools = await toolsOf(inspect, dom0);
  expect(await tools.call('qube_set', { qube: 'ai-one', properties })).toBe('invalid-request');
  expect(tools.calls()).toEqual([]);
});

test('a feature is set, and null takes it away', async () => {
  const tools = await toolsOf(inspect, dom0);
  await tools.call('qube_feature_set', { qube: 'ai-one', feature: 'service.cups', value: '1' });
  await tools.call('qube_feature_set', { qube: 'ai-one', feature: 'service.cups', value: null });
  expect(tools.calls().map(([, , params]) => params)).toEqual([
    { feature: 'service.cups', value: '1' },
    { feature: 'service.cups' },
  ]);
});
