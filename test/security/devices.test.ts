import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deviceOf } from '../../sim/host/populate.js';
import { Harness } from '../support/harness.js';

let harness: Harness;
const spawn = (name: string) =>
  harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', start: true });
const plug = (backend: string, port: string, name = 'disk', devclass: 'block' | 'usb' = 'block') => {
  const { host } = harness.sim;
  host.plug(deviceOf(host.domain(backend), { class: devclass, port, name }));
};
const attach = (qube: string, backend: string, device: string, more: object = {}) =>
  harness.ask(qube, 'qmcp.devices.Attach', { backend, device, class: 'block', ...more });
const detach = (qube: string, backend: string, device: string) =>
  harness.ask(qube, 'qmcp.devices.Detach', { backend, device, class: 'block' });
const list = (qube: string) => harness.ask(qube, 'qmcp.devices.List');
const attached = async (qube: string) => harness.operator('admin.vm.device.block.Attached', qube);

beforeEach(async () => {
  harness = await Harness.start();
  for (const name of ['ai-one', 'ai-two']) await spawn(name);
  plug('ai-one', 'sda');
  plug('work', 'sdb', 'operators disk at /home/vault');
});
afterEach(() => harness.close());

// ATTACK 6
describe('a device', () => {
  it('a device goes from one qube of the world to another, and back', async () => {
    expect((await attach('ai-two', 'ai-one', 'sda', { read_only: true })).code).toBe('ok');
    expect(await attached('ai-two')).toMatch(/^ai-one\+sda.*_read-only='yes'/);
    expect((await list('ai-two')).result.devices).toEqual([
      { class: 'block', device: 'sda', backend: 'ai-one', attached: true, description: '' },
    ]);
    expect((await detach('ai-two', 'ai-one', 'sda')).code).toBe('ok');
    expect(await attached('ai-two')).toBe('');
  });

  it('a USB device that its own qube calls used already fails like one that the other qube cannot attach', async () => {
    plug('ai-one', '2-1', 'key', 'usb');
    const { host } = harness.sim;
    const original = host.call.bind(host);
    const told: string[] = [];
    for (const error of [
      'DeviceAlreadyAttached\0\0already attached to vault',
      'QubesUSBException\0\0attach failed',
    ]) {
      const asked: string[] = [];
      host.call = (request) => {
        const text = Buffer.from(request).toString('latin1');
        asked.push(text);
        return text.startsWith('admin.vm.device.usb.Attach+')
          ? Promise.resolve(Buffer.from(`2\0${error}\0`))
          : original(request);
      };
      const answer = await attach('ai-two', 'ai-one', '2-1', { class: 'usb' });
      told.push(`${JSON.stringify(answer)} ${asked.sort().join(' ')}`);
      host.call = original;
    }
    expect(told[0]).toContain('"code":"failed"');
    expect(told[1]).toBe(told[0]);
  });

  it('a device whose other end is hidden, missing, under tier, the caller, a gateway or dom0 is not found and does not move', async () => {
    plug('sys-ai-net', 'sdc');
    plug('mcp-control', 'sdd');
    for (const tag of ['ai-managed', 'ai-net']) await harness.operator('admin.vm.tag.Set', 'personal', tag);
    plug('personal', 'sde');
    const before = harness.truth();
    for (const [backend, device] of [
      ['work', 'sdb'],
      ['no-such', 'sdb'],
      ['sys-ai-net', 'sdc'],
      ['mcp-control', 'sdd'],
      ['personal', 'sde'],
      ['vault', 'sda'],
      ['dom0', 'mic'],
    ] as const) {
      expect((await attach('ai-two', backend, device)).code).toBe('not-found');
      expect(
        JSON.parse(
          await harness.direct('qmcp.devices.Attach', backend, {
            backend: 'ai-one',
            device: 'sda',
            class: 'block',
          }),
        ).error.code,
      ).toMatch(/not-found|invalid-request/);
    }
    expect(harness.truth()).toBe(before);
  });

  it('attaching an attached device is a conflict, and it stays attached', async () => {
    await attach('ai-two', 'ai-one', 'sda');
    const before = await attached('ai-two');
    expect((await attach('ai-two', 'ai-one', 'sda')).code).toBe('conflict');
    expect(await attached('ai-two')).toBe(before);
  });

  it('a device that its backend does not have is not found, and no device goes from a qube to itself', async () => {
    const before = harness.truth();
    expect((await attach('ai-two', 'ai-one', 'no-such')).code).toBe('not-found');
    expect((await attach('ai-one', 'ai-one', 'sda')).code).toBe('conflict');
    expect(harness.truth()).toBe(before);
  });

  it('attaching a device to a halted qube is a conflict', async () => {
    await harness.ask('ai-two', 'qmcp.spawn.Kill');
    expect((await attach('ai-two', 'ai-one', 'sda')).code).toBe('conflict');
  });

  it('a device class other than block, usb and mic is refused by its shape', async () => {
    for (const of of ['pci', 'block+x', '', 'Block'])
      expect((await attach('ai-two', 'ai-one', 'sda', { class: of })).code).toBe('invalid-request');
  });

  it('a device that the operator attached from outside does not show its backend to any agent', async () => {
    await harness.operator('admin.vm.device.block.Attach', 'ai-one', 'work+sdb');
    const { stdout } = await harness.call('ai-one', 'qmcp.devices.List');
    expect(stdout).toContain('<out-of-scope>');
    expect(stdout).not.toMatch(/work|vault|operators/);
    expect((await detach('ai-one', 'work', 'sdb')).code).toBe('not-found');
    expect(await attached('ai-one')).toContain('work+sdb');
  });

  it('a device is described in its backend’s words, shortened and without control characters', async () => {
    plug('ai-one', 'sdz', `\u001b[31m\u202e${'x'.repeat(100)}\u200b`);
    const { result } = await list('ai-one');
    const { description } = result.devices.find(({ device }: { device: string }) => device === 'sdz');
    expect(description).toMatch(/^[ -~]{1,64}$/);
  });

  it('the devices of dom0 are never listed, however dom0 is spelled', async () => {
    const missing = await harness.direct('qmcp.devices.List', 'no-such');
    for (const name of ['dom0', 'Domain-0', 'vault', 'work', 'sys-usb'])
      expect(await harness.direct('qmcp.devices.List', name)).toBe(missing);
    expect(await harness.direct('qmcp.devices.List', '@adminvm')).toBe(missing);
    expect(JSON.parse(await harness.direct('qmcp.devices.List', 'dom0\n')).error.code).toBe(
      'invalid-request',
    );
  });
});
