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

describe('memory and maxmem', () => {
  const start = async (name: string) => (await harness.ask(name, 'qmcp.spawn.Start')).code;
  const spawn = async (name: string, more: object) =>
    (await harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', ...more })).code;
  const memoryOf = (name: string) => {
    const { memory, maxmem } = harness.qube(name)!.properties;
    return [memory, maxmem];
  };

  it('memory above maxmem is refused, with the value that a qube has or the one of the same call', async () => {
    await harness.close();
    harness = await Harness.start({
      prepare: (root) => {
        roomy(root);
        configure(root, { properties: '["memory", "maxmem", "label"]' });
      },
    });
    await spawn('ai-one', {});
    const before = harness.truth();
    expect(await set({ memory: 5000 })).toEqual({ code: 'conflict' });
    expect(await set({ maxmem: 100 })).toEqual({ code: 'conflict' });
    expect(await set({ memory: 900, maxmem: 800 })).toEqual({ code: 'conflict' });
    expect(harness.truth()).toBe(before);
    expect((await set({ memory: 5000, maxmem: 5000 })).code).toBe('ok');
    expect(await start('ai-one')).toBe('ok');
    await harness.ask('ai-one', 'qmcp.spawn.Kill');
    // The operator set a value for which the platform starts nothing: other properties can be set, and these two only to better ones.
    await harness.operator('admin.vm.property.Set', 'ai-one', 'maxmem', '400');
    expect((await set({ label: 'blue' })).code).toBe('ok');
    expect(await set({ memory: 600 })).toEqual({ code: 'conflict' });
    expect((await set({ memory: 300 })).code).toBe('ok');
    await harness.operator('admin.vm.property.Set', 'ai-one', 'maxmem', '0');
    expect((await set({ memory: 9000 })).code).toBe('ok');
  });

  it('a qube that the platform would not start for its memory is a conflict, and is asked for nothing', async () => {
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    for (const name of ['ai-one', 'ai-dvm'])
      await harness.operator('admin.vm.property.Set', name, 'memory', '5000');
    const before = harness.truth();
    expect(await start('ai-one')).toBe('conflict');
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' })).code).toBe(
      'conflict',
    );
    expect(harness.truth()).toBe(before);
  });

  it('a new qube gets the memory that was asked for, and as its most what its template has, unless that is less', async () => {
    expect(await spawn('ai-small', { memory: 1000 })).toBe('ok');
    expect(memoryOf('ai-small')).toEqual(['1000', '4000']);
    expect(await spawn('ai-large', { memory: 5000 })).toBe('ok');
    expect(memoryOf('ai-large')).toEqual(['5000', '5000']);
    expect(await spawn('ai-fixed', { memory: 500, maxmem: 600 })).toBe('ok');
    expect(memoryOf('ai-fixed')).toEqual(['500', '600']);
    const before = harness.truth();
    expect(await spawn('ai-never', { memory: 700, maxmem: 600 })).toBe('conflict');
    expect(await spawn('ai-never', { maxmem: 100 })).toBe('conflict');
    expect(harness.truth()).toBe(before);
    for (const name of ['ai-small', 'ai-large', 'ai-fixed']) expect(await start(name)).toBe('ok');
  });
});
