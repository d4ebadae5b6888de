import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { eventually } from '../support/waiting.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  await harness.close();
});

/** The Admin API requests that qmcpd makes while `act` runs: method, argument and destination. */
async function requests(act: () => Promise<unknown>): Promise<string[]> {
  const { host } = harness.sim;
  const original = host.call.bind(host);
  const seen: string[] = [];
  host.call = (request) => {
    seen.push(Buffer.from(request).toString('latin1').split('\0')[0]!);
    return original(request);
  };
  try {
    await act();
  } finally {
    host.call = original;
  }
  return seen;
}

/** The one look-up of a qube: its class, and the tags of the very qube that was listed. */
const lookedAt = (name: string) => [
  `admin.vm.List+ dom0 name ${name}`,
  `admin.vm.tag.List+ dom0 name uuid:${harness.sim.host.qube(name)!.uuid}`,
];
const list = () => harness.call('@adminvm', 'qmcp.inspect.List');
const spawn = (name: string) =>
  harness.call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });

// INVARIANT scope.existence-hidden
describe('what qmcpd asks of qubesd', () => {
  // ATTACK 15
  it('qmcpd asks qubesd the same for a hidden name as for a missing one: one look-up of a qube that exists', async () => {
    const asked = (service: string, target: string, payload: object = {}) =>
      requests(() => harness.direct(service, target, payload)).then((seen) => seen.sort());
    for (const name of ['no-such-qube', 'vault', 'work', 'mcp-control', 'sys-ai-net']) {
      for (const service of ['State', 'Set'].map((verb) => `qmcp.inspect.${verb}`))
        expect(await asked(service, name)).toEqual(lookedAt('mcp-control'));
      for (const service of ['Start', 'Shutdown', 'Remove'].map((verb) => `qmcp.spawn.${verb}`))
        expect(await asked(service, name)).toEqual(lookedAt('mcp-control'));
      for (const [service, payload] of [
        ['qmcp.spawn.Create', { name: 'ai-one', template: name }],
        ['qmcp.spawn.Clone', { name: 'ai-one', source: name }],
        ['qmcp.spawn.Disposable', { template: name }],
        ['qmcp.spawn.Restore', { qube: name }],
      ] as const)
        expect(await asked(service, '@adminvm', payload)).toEqual(lookedAt('mcp-control'));
      expect(
        await asked('qmcp.devices.Attach', 'ai-debian', { class: 'block', backend: name, device: 'sda' }),
      ).toEqual([...lookedAt('ai-debian'), ...lookedAt('mcp-control')].sort());
    }
  });

  it('qmcpd asks qubesd the same for a list, whatever else the host has', async () => {
    await spawn('ai-one');
    const before = await requests(list);
    for (let n = 0; n < 20; n++)
      await harness.operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', `name=hidden-${n} label=red`);
    expect(await requests(list)).toEqual(before);
    expect((await list()).stdout).not.toContain('hidden');
  });
});

describe('a list', () => {
  const names = async () =>
    (JSON.parse((await list()).stdout) as { result: { qubes: { name: string }[] } }).result.qubes.map(
      ({ name }) => name,
    );

  it('a list has what the operator has just enrolled, and not what was just taken out', async () => {
    await harness.operator('admin.vm.tag.Set', 'work', 'ai-managed');
    await eventually(names).toEqual(['ai-debian', 'work']);
    await harness.operator('admin.vm.tag.Remove', 'work', 'ai-managed');
    expect(await names()).toEqual(['ai-debian']);
  });

  it('a list has a new qube as soon as its creator gets the reply', async () => {
    for (const name of ['ai-a', 'ai-b', 'ai-c']) {
      await spawn(name);
      expect(await names()).toContain(name);
    }
  });

  it('a list does not have a qube that the operator deleted, and qmcpd asks nothing more about it', async () => {
    await spawn('ai-a');
    await harness.operator('admin.vm.Remove', 'ai-a');
    await eventually(() => requests(list)).toHaveLength(2);
    expect(await names()).toEqual(['ai-debian']);
  });

  it('a list has a qube that the operator takes out and puts back, however fast', async () => {
    for (let at = 0; at < 20; at++) {
      const listed = names();
      await harness.operator('admin.vm.tag.Remove', 'ai-debian', 'ai-managed');
      await harness.operator('admin.vm.tag.Set', 'ai-debian', 'ai-managed');
      await listed;
      expect(await names()).toEqual(['ai-debian']);
    }
  });
});
