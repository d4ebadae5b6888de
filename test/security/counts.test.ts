import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Seat } from './host.js';

let seat: Seat;
beforeEach(async () => {
  seat = await Seat.take();
});
afterEach(async () => {
  await seat.leave();
});

/** The Admin API requests qmcpd makes while `act` runs: method, argument and destination. */
async function requests(act: () => Promise<unknown>): Promise<string[]> {
  const { host } = seat.sim;
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

const list = () => seat.call('@adminvm', 'qmcp.inspect.List');
const spawn = (name: string) => seat.call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });

describe('what qmcpd asks of qubesd', () => {
  it('is the same for a name that is hidden and one that is missing', async () => {
    for (const service of [
      'qmcp.inspect.State',
      'qmcp.spawn.Start',
      'qmcp.spawn.Shutdown',
      'qmcp.spawn.Remove',
    ]) {
      const asked = async (name: string) =>
        (await requests(() => seat.direct(service, name))).map((request) => request.replace(name, 'NAME'));
      const missing = await asked('no-such-qube');
      expect(missing).toEqual(['admin.vm.tag.List+ dom0 name NAME']);
      for (const name of ['vault', 'work', 'mcp-control', 'sys-ai-net'])
        expect(await asked(name)).toEqual(missing);
    }
  });

  it('for a list, is the same whatever else the host has', async () => {
    await spawn('ai-one');
    const before = await requests(list);
    for (let n = 0; n < 20; n++)
      await seat.operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', `name=hidden-${n} label=red`);
    expect(await requests(list)).toEqual(before);
    expect((await list()).stdout).not.toContain('hidden');
  });
});

describe('a list', () => {
  const names = async () =>
    (JSON.parse((await list()).stdout) as { result: { qubes: { name: string }[] } }).result.qubes.map(
      ({ name }) => name,
    );

  it('has what the operator has just put into the world, and not what was just taken out', async () => {
    await seat.operator('admin.vm.tag.Set', 'work', 'ai-managed');
    await expect.poll(names).toEqual(['ai-debian', 'work']);
    await seat.operator('admin.vm.tag.Remove', 'work', 'ai-managed');
    expect(await names()).toEqual(['ai-debian']);
  });

  it('has a qube from the moment its maker is told of it', async () => {
    for (const name of ['ai-a', 'ai-b', 'ai-c']) {
      await spawn(name);
      expect(await names()).toContain(name);
    }
  });

  it('does not have a qube that was renamed away or deleted by the operator', async () => {
    await spawn('ai-a');
    await seat.operator('admin.vm.Remove', 'ai-a');
    expect(await names()).toEqual(['ai-debian']);
  });
});
