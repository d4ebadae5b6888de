import { beforeEach, describe, expect, it } from 'vitest';
import { Host } from '../host/host.js';
import { loadHostSpec } from '../host-spec.js';
import { type Connection, Network } from './network.js';

const WEB = { host: '198.51.100.7', port: 443, protocol: 'tcp' } as const;
const SHUT = 'action=drop\n';
const OPEN = 'action=accept\n';

let host: Host;
let network: Network;
beforeEach(() => {
  host = Host.load(loadHostSpec('demo'));
  network = new Network(host);
});

async function dom0(method: string, qube: string, argument = '', payload = ''): Promise<void> {
  const reply = await host.call(Buffer.from(`${method}+${argument} dom0 name ${qube}\0${payload}`));
  expect(Buffer.from(reply).toString()).toMatch(/^0\0/);
}
const rules = (text: string) => dom0('admin.vm.firewall.Set', 'work', '', text);
const reached = () => network.reach('work', WEB).reached;
const connected = (): Connection => {
  const made = network.connect('work', WEB);
  if (!('open' in made)) throw new Error(made.why);
  return made;
};

describe('a network qube', () => {
  it('a network qube applies new rules at once, or when a test lets it', async () => {
    await rules(SHUT);
    expect(reached()).toBe(false);
    network.hold();
    await rules(OPEN);
    expect(reached()).toBe(false);
    network.release();
    expect(reached()).toBe(true);
  });

  it('a network qube has no rules of a qube that starts while it is held back, and lets nothing of it through', async () => {
    network.hold();
    await dom0('admin.vm.Kill', 'work');
    await dom0('admin.vm.property.Set', 'work', 'netvm', 'sys-ai-net');
    await dom0('admin.vm.Start', 'work');
    expect(network.reach('work', WEB)).toEqual({ reached: false, why: 'blocked', at: 'work' });
    network.release();
    expect(reached()).toBe(true);
  });

  it('a network qube that starts applies the rules of all its qubes', async () => {
    network.hold();
    await rules(SHUT);
    expect(reached()).toBe(true);
    await host.crash('sys-firewall');
    expect(reached()).toBe(false);
    await dom0('admin.vm.Start', 'sys-firewall');
    expect(network.reach('work', WEB)).toEqual({ reached: false, why: 'blocked', at: 'work' });
  });

  it('a network qube without the feature, or with its firewall switched off, applies no rules', async () => {
    await rules(SHUT);
    await dom0('admin.vm.feature.Set', 'sys-firewall', 'service.qubes-firewall');
    expect(reached()).toBe(true);
    await dom0('admin.vm.feature.Remove', 'sys-firewall', 'service.qubes-firewall');
    expect(reached()).toBe(false);
    await dom0('admin.vm.feature.Remove', 'debian-13', 'qubes-firewall');
    expect(reached()).toBe(true);
  });
});

describe('an open connection', () => {
  for (const [version, stays] of [
    ['4.1', true],
    ['4.2', false],
    ['4.4', false],
    ['', true],
  ] as const)
    it(`an open connection ${stays ? 'goes on' : 'ends'} against new rules in a network qube with the tools ${version || 'of an unknown version'}`, async () => {
      await dom0('admin.vm.feature.Set', 'debian-13', 'qubes-agent-version', version);
      const connection = connected();
      await rules(SHUT);
      expect([reached(), connection.open]).toEqual([false, stays]);
      await rules(OPEN);
      expect(connection.open).toBe(stays);
    });

  it('an open connection that the new rules allow goes on, and none ends before they are applied', async () => {
    const connection = connected();
    await rules(`action=accept dst4=198.51.100.0/24\n${SHUT}`);
    network.hold();
    await rules(SHUT);
    expect(connection.open).toBe(true);
    network.release();
    expect(connection.open).toBe(false);
  });

  it('an open connection ends with its network, and when its qube moves to another', async () => {
    const [moved, cut] = [connected(), connected()];
    await dom0('admin.vm.property.Set', 'work', 'netvm', 'sys-ai-net');
    expect(moved.open).toBe(false);
    expect(cut.open).toBe(false);
    const last = connected();
    await dom0('admin.vm.Kill', 'work');
    expect(last.open).toBe(false);
  });
});
