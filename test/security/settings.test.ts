import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configure, Harness, roomy } from '../support/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start({
    prepare: (root) => {
      roomy(root);
      configure(root, { features: '["service.cups", "x-note"]', properties: '["label", "memory"]' });
    },
  });
  await harness.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian' });
});
afterEach(() => harness.close());

const set = (values: object) => harness.ask('ai-one', 'qmcp.inspect.Set', values);
const feature = (name: string, value?: string) =>
  harness.ask('ai-one', 'qmcp.inspect.FeatureSet', { feature: name, ...(value !== undefined && { value }) });

// ATTACK 3, ATTACK 5
// INVARIANT props.allowlist
describe('a property', () => {
  it('properties on the operator’s list are set, all of a call or none', async () => {
    expect((await set({ label: 'blue', memory: 700 })).code).toBe('ok');
    expect(harness.qube('ai-one')!.properties).toMatchObject({ label: 'blue', memory: '700' });
    const before = harness.truth();
    expect((await set({ label: 'green', vcpus: 3 })).code).toBe('not-permitted');
    expect(harness.truth()).toBe(before);
  });

  it('properties that no contract can name get one uniform refusal, whatever the name and value', async () => {
    const before = harness.truth();
    for (const name of [
      'netvm',
      'template',
      'provides_network',
      'autostart',
      'guivm',
      'kernel',
      'nonsense',
      'name',
    ])
      for (const value of ['no-such-qube', 'vault', 'sys-firewall', 'True', 1])
        expect(await set({ [name]: value })).toEqual({ code: 'invalid-request' });
    expect(harness.truth()).toBe(before);
  });

  it('a property is restored if a later one of the same call cannot be set', async () => {
    const { host } = harness.sim;
    const original = host.call.bind(host);
    const before = harness.truth();
    host.call = (request) =>
      Buffer.from(request).toString('latin1').startsWith('admin.vm.property.Set+memory')
        ? Promise.resolve(Buffer.from('2\0QubesValueError\0\0vault at 10.137.0.9\0'))
        : original(request);
    expect(await set({ label: 'green', memory: 700 })).toEqual({ code: 'failed' });
    host.call = original;
    expect(harness.truth()).toBe(before);
  });

  it('a property that qubesd accepts and does not store is reported as failed, and restored', async () => {
    const { host } = harness.sim;
    const original = host.call.bind(host);
    const before = harness.truth();
    host.call = (request) =>
      Buffer.from(request).toString('latin1').startsWith('admin.vm.property.Set+memory')
        ? Promise.resolve(Buffer.from('0\0'))
        : original(request);
    expect(await set({ label: 'green', memory: 700 })).toEqual({ code: 'failed' });
    host.call = original;
    expect(harness.truth()).toBe(before);
  });

  it('the properties of an under-tier qube, of the caller and of a gateway are out of reach', async () => {
    for (const tag of ['ai-managed', 'ai-net']) await harness.operator('admin.vm.tag.Set', 'work', tag);
    for (const tag of ['ai-managed', 'ai-full']) {
      await harness.operator('admin.vm.tag.Set', 'mcp-control', tag);
      await harness.operator('admin.vm.tag.Set', 'sys-ai-net', tag);
    }
    const before = harness.truth();
    for (const name of ['work', 'mcp-control', 'sys-ai-net', 'vault', 'no-such'])
      expect(JSON.parse(await harness.direct('qmcp.inspect.Set', name, { label: 'blue' })).error).toEqual({
        code: 'not-found',
      });
    expect(harness.truth()).toBe(before);
  });
});

describe('a feature', () => {
  it('features on the operator’s list are set, changed, removed and shown', async () => {
    expect((await feature('service.cups', '1')).code).toBe('ok');
    expect((await harness.ask('ai-one', 'qmcp.inspect.State')).result.features).toEqual([
      { name: 'service.cups', value: '1' },
    ]);
    expect((await feature('service.cups')).code).toBe('ok');
    expect(harness.qube('ai-one')!.features).toEqual({ 'qmcp-network': 'sys-ai-net' });
  });

  it('features off the list get one uniform refusal, whether they exist, and whatever the value', async () => {
    await harness.operator('admin.vm.feature.Set', 'ai-one', 'internal', '1');
    const before = harness.truth();
    for (const name of [
      'qmcp-network',
      'qmcp-entombed',
      'tag-created-vm-with',
      'internal',
      'preload-dispvm-max',
      'nonsense',
    ])
      for (const value of ['1', '', 'vault', 'no-such'])
        expect(await feature(name, value)).toEqual({ code: 'not-permitted' });
    expect(harness.truth()).toBe(before);
  });

  it('features off the list are not shown', async () => {
    await harness.operator('admin.vm.feature.Set', 'ai-one', 'operators-note', 'vault');
    expect((await harness.call('ai-one', 'qmcp.inspect.State')).stdout).not.toContain('vault');
  });
});
