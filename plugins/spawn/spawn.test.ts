import { describe, expect, test } from 'vitest';
import { refused } from '../../test/support/fake-host.js';
import { stateOf, toolsOf } from '../../test/support/tools.js';
import spawn from './plugin.js';

const dom0 = {
  'qmcp.spawn.Create': () => stateOf('ai-one'),
  'qmcp.spawn.Clone': () => stateOf('ai-two'),
  'qmcp.spawn.Disposable': () => ({ name: 'disp42' }),
  'qmcp.spawn.Start': () => stateOf('ai-one', { state: 'running' }),
  'qmcp.spawn.Pause': () => stateOf('ai-one', { state: 'paused' }),
  'qmcp.spawn.Unpause': () => stateOf('ai-one', { state: 'running' }),
  'qmcp.spawn.Shutdown': () => ({}),
  'qmcp.spawn.Kill': () => ({}),
  'qmcp.spawn.Remove': () => ({ removed: 'ai-one' }),
  'qmcp.spawn.Restore': () => ({ restored: 'ai-one' }),
};
const halted = { qube: 'ai-one', state: 'halted' };

describe('each tool is one call', () => {
  test.each<[string, object, unknown[], unknown]>([
    [
      'qube_spawn',
      { name: 'ai-one', template: 'ai-debian', class: 'DispVMTemplate', network: 'none' },
      [
        '@adminvm',
        'qmcp.spawn.Create',
        { name: 'ai-one', template: 'ai-debian', class: 'DispVMTemplate', network: 'none' },
      ],
      stateOf('ai-one'),
    ],
    [
      'qube_clone',
      { source: 'ai-one', name: 'ai-two' },
      ['@adminvm', 'qmcp.spawn.Clone', { source: 'ai-one', name: 'ai-two' }],
      stateOf('ai-two'),
    ],
    [
      'disposable_spawn',
      { template: 'ai-dvm' },
      ['@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' }],
      { name: 'disp42' },
    ],
    [
      'qube_start',
      { qube: 'ai-one' },
      ['ai-one', 'qmcp.spawn.Start', {}],
      stateOf('ai-one', { state: 'running' }),
    ],
    [
      'qube_pause',
      { qube: 'ai-one' },
      ['ai-one', 'qmcp.spawn.Pause', {}],
      stateOf('ai-one', { state: 'paused' }),
    ],
    [
      'qube_unpause',
      { qube: 'ai-one' },
      ['ai-one', 'qmcp.spawn.Unpause', {}],
      stateOf('ai-one', { state: 'running' }),
    ],
    [
      'qube_shutdown',
      { qube: 'ai-one', timeout: 5 },
      ['ai-one', 'qmcp.spawn.Shutdown', { timeout: 5 }],
      halted,
    ],
    ['qube_kill', { qube: 'ai-one' }, ['ai-one', 'qmcp.spawn.Kill', {}], halted],
    ['qube_remove', { qube: 'ai-one' }, ['ai-one', 'qmcp.spawn.Remove', {}], { removed: 'ai-one' }],
    [
      'qube_restore',
      { qube: 'ai-one' },
      ['@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-one' }],
      { restored: 'ai-one' },
    ],
  ])('%s makes one call', async (name, input, call, result) => {
    const tools = await toolsOf(spawn, dom0);
    expect(await tools.call(name, input)).toEqual(result);
    expect(tools.calls()).toEqual([call]);
  });
});

test.each(['TemplateVM', 'StandaloneVM', 'DispVM', 'AdminVM'])(
  'qube_spawn never asks dom0 for a %s',
  async (klass) => {
    const tools = await toolsOf(spawn, dom0);
    expect(await tools.call('qube_spawn', { name: 'ai-one', template: 'ai-debian', class: klass })).toBe(
      'invalid-request',
    );
    expect(tools.calls()).toEqual([]);
  },
);

test('qube_shutdown does not report a qube as halted that did not halt', async () => {
  const tools = await toolsOf(spawn, { 'qmcp.spawn.Shutdown': () => refused('conflict') });
  expect(await tools.call('qube_shutdown', { qube: 'ai-one' })).toBe('conflict');
});
