/** The same kernel and the same session on every release of Qubes: qubesd's replies differ, the effects must not. */
import { afterEach, describe, expect, it } from 'vitest';
import { deviceOf } from '../../sim/host/populate.js';
import { loadHostSpec } from '../../sim/index.js';
import { configure, Harness, roomy } from '../support/harness.js';

let harness: Harness;
afterEach(() => harness.close());

const prepare = (root: string) => {
  roomy(root);
  configure(root, { features: '["x-note"]' });
};
const dom0 = (service: string, payload: object = {}) => harness.ask('@adminvm', `qmcp.${service}`, payload);
const on = (name: string, service: string, payload: object = {}) =>
  harness.ask(name, `qmcp.${service}`, payload);
const tags = (name: string) => [...(harness.qube(name)?.tags ?? [])].sort().join(' ');
const BORN = 'ai-born ai-full ai-managed created-by-mcp-control';

/** A session that uses every service; each step has a name, its parameters, and its effect. */
async function session(devices: boolean): Promise<void> {
  const disk = { class: 'block', backend: 'ai-one', device: 'sda' };
  const memory = () => harness.qube('ai-one')!.properties.memory;
  const state = (name: string) => harness.qube(name)?.state;
  const born = await dom0('spawn.Create', {
    name: 'ai-one',
    template: 'ai-debian',
    memory: 500,
    private_size: 3 * 2 ** 30,
  });
  expect(born).toMatchObject({ code: 'ok', result: { name: 'ai-one', network: 'sys-ai-net', memory: 500 } });
  expect([tags('ai-one'), harness.qube('ai-one')!.disk]).toEqual([BORN, 3 * 2 ** 30]);
  expect((await dom0('spawn.Create', { name: 'ai-one', template: 'ai-debian' })).code).toBe('name-taken');

  expect((await on('ai-one', 'inspect.Set', { label: 'blue', memory: 600 })).code).toBe('ok');
  expect(memory()).toBe('600');
  expect((await on('ai-one', 'inspect.FeatureSet', { feature: 'x-note', value: 'a' })).code).toBe('ok');
  expect((await on('ai-one', 'inspect.State')).result.features).toEqual([{ name: 'x-note', value: 'a' }]);
  expect((await on('ai-one', 'inspect.FeatureSet', { feature: 'x-note' })).code).toBe('ok');
  expect(harness.qube('ai-one')!.features['x-note']).toBeUndefined();

  const rules = [{ to: 'example.com', protocol: 'tcp', ports: '443' }, { to: '10.0.0.0/8' }, { to: 'dns' }];
  expect((await on('ai-one', 'egress.RulesSet', { rules })).code).toBe('ok');
  expect((await on('ai-one', 'egress.RulesGet')).result).toMatchObject({ rules, by: 'world' });
  expect((await dom0('egress.Status')).code).toBe('ok');
  expect((await on('ai-one', 'networking.Disconnect')).code).toBe('ok');
  expect((await on('ai-one', 'networking.State')).result.network).toBe(null);
  expect((await on('ai-one', 'networking.Reconnect')).code).toBe('ok');
  expect((await dom0('networking.Map')).result.qubes).toHaveLength(2);

  for (const [verb, then] of [
    ['Start', 'Running'],
    ['Pause', 'Paused'],
    ['Unpause', 'Running'],
    ['Shutdown', 'Halted'],
    ['Start', 'Running'],
    ['Kill', 'Halted'],
  ] as const) {
    expect([verb, (await on('ai-one', `spawn.${verb}`)).code, state('ai-one')]).toEqual([verb, 'ok', then]);
  }
  expect((await on('ai-one', 'spawn.Pause')).code).toBe('conflict');
  expect((await on('ai-one', 'spawn.Kill')).code).toBe('ok');
  expect((await on('ai-one', 'storage.Grow', { size: 4 * 2 ** 30 })).code).toBe('ok');
  expect((await dom0('storage.Budget')).result.lines).toContainEqual(
    expect.objectContaining({ line: 'disk', used: 4 * 2 ** 30 }),
  );

  expect((await dom0('spawn.Clone', { source: 'ai-one', name: 'ai-two' })).code).toBe('ok');
  expect([tags('ai-two'), harness.qube('ai-two')!.disk, harness.qube('ai-two')!.properties.label]).toEqual([
    BORN,
    4 * 2 ** 30,
    'blue',
  ]);
  if (devices) {
    for (const name of ['ai-one', 'ai-two']) await on(name, 'spawn.Start');
    harness.sim.host.plug(deviceOf(harness.sim.host.domain('ai-one'), { class: 'block', port: 'sda' }));
    expect((await on('ai-two', 'devices.Attach', disk)).code).toBe('ok');
    expect((await on('ai-two', 'devices.List')).result.devices).toMatchObject([
      { device: 'sda', backend: 'ai-one', attached: true },
    ]);
    expect((await on('ai-two', 'devices.Detach', disk)).code).toBe('ok');
    expect((await on('ai-two', 'devices.List')).result.devices).toEqual([]);
  }

  expect(
    (await dom0('spawn.Create', { name: 'ai-dvm', template: 'ai-debian', class: 'DispVMTemplate' })).code,
  ).toBe('ok');
  const { name } = (await dom0('spawn.Disposable', { template: 'ai-dvm' })).result;
  expect([state(name), tags(name)]).toEqual(['Running', expect.stringContaining('ai-disp-full')]);
  expect((await on(name, 'spawn.Remove')).code).toBe('ok');
  expect(harness.qube(name)).toBeUndefined();

  expect((await on('ai-two', 'spawn.Remove')).code).toBe('ok');
  expect(tags('ai-two')).toBe('ai-born ai-full ai-managed ai-tombstone created-by-mcp-control');
  expect((await dom0('spawn.Restore', { qube: 'ai-two' })).code).toBe('ok');
  expect(tags('ai-two')).toBe(BORN);
}

describe.each(['4.2', '4.3', '4.4'] as const)('on Qubes %s', (api) => {
  it('every service has the same effect as on any other release', async () => {
    harness = await Harness.start({ prepare, api });
    await session(true);
  });

  it('a host without a mic or usb extension has no such devices, and is otherwise the same', async () => {
    harness = await Harness.start({
      spec: { ...withoutMicrophone(), deviceclasses: ['block', 'pci'] },
      prepare,
      api,
    });
    expect(await on('ai-debian', 'devices.List')).toEqual({ code: 'ok', result: { devices: [] } });
    await session(false);
  });

  it('a missing name is refused like a hidden one, and neither is touched', async () => {
    harness = await Harness.start({ prepare, api });
    const before = harness.truth();
    for (const service of ['spawn.Start', 'spawn.Kill', 'spawn.Remove', 'inspect.State', 'devices.List'])
      for (const name of ['no-such-qube', 'vault', 'work', 'mcp-control', 'sys-ai-net', 'dom0'])
        expect(await harness.direct(`qmcp.${service}`, name)).toBe(
          '{"error":{"code":"not-found"},"ok":false}\n',
        );
    expect(harness.truth()).toBe(before);
  });
});

function withoutMicrophone() {
  const world = loadHostSpec('demo');
  return { ...world, qubes: world.qubes.map(({ devices, ...qube }) => qube) };
}
