import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { type HeardEvent, Listener } from '../support/listener.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
  await harness.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian' });
});
afterEach(() => harness.close());

/** The events that an agent hears during `meanwhile`. */
async function hears(meanwhile: (listener: Listener) => Promise<unknown>): Promise<HeardEvent[]> {
  const listener = await Listener.of(harness);
  await meanwhile(listener);
  const heard = await listener.caughtUp();
  await listener.leave();
  return heard;
}

// ATTACK 8
// INVARIANT tiers.unreadable
describe('an agent that listens', () => {
  it('an agent that listens hears what happens to the qubes of its world', async () => {
    const heard = await hears(async (listener) => {
      await harness.ask('ai-one', 'qmcp.spawn.Start');
      await harness.ask('ai-one', 'qmcp.inspect.Set', { label: 'blue' });
      await harness.ask('ai-one', 'qmcp.egress.RulesSet', { rules: [] });
      await harness.ask('ai-one', 'qmcp.networking.Disconnect');
      await harness.ask('ai-one', 'qmcp.spawn.Kill');
      await listener.caughtUp(); // qmcpd tells only what it still sees when it comes to the event
      await harness.ask('ai-one', 'qmcp.spawn.Remove');
    });
    expect(heard.every(({ qube }) => qube === 'ai-one')).toBe(true);
    expect(heard.map(({ event }) => event)).toEqual([
      'starting',
      'resumed', // a start pauses it first
      'started',
      'changed',
      'rules-changed',
      'network-changed',
      'halted',
      'left',
    ]);
  });

  it('an agent that listens hears nothing of outside qubes, tiers, guards and notes that the operator changes', async () => {
    const heard = await hears(async () => {
      for (const tag of ['ai-guard', 'ai-egress-lock', 'lab-full', 'note']) {
        await harness.operator('admin.vm.tag.Set', 'ai-one', tag);
        await harness.operator('admin.vm.tag.Remove', 'ai-one', tag);
      }
      await harness.operator('admin.vm.tag.Remove', 'ai-one', 'ai-full');
      await harness.operator('admin.vm.tag.Set', 'ai-one', 'ai-exec');
      await harness.operator('admin.vm.feature.Set', 'ai-one', 'operators-note', 'vault');
      await harness.operator('admin.vm.property.Set', 'ai-one', 'kernelopts', 'x');
      await harness.operator('admin.vm.Start', 'vault');
      await harness.operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', 'name=ai-hidden label=red');
      await harness.operator('admin.vm.Remove', 'ai-hidden');
      await harness.operator('admin.vm.tag.Set', 'work', 'lab-managed');
    });
    expect(heard).toEqual([]);
  });

  it('an agent that listens hears that a qube joined or left its world, and no more', async () => {
    const heard = await hears(async (listener) => {
      await harness.operator('admin.vm.tag.Set', 'work', 'ai-managed');
      await listener.caughtUp();
      await harness.operator('admin.vm.tag.Remove', 'work', 'ai-managed');
      await listener.caughtUp();
      await harness.operator('admin.vm.property.Set', 'work', 'label', 'green');
    });
    expect(heard).toEqual([
      { event: 'appeared', qube: 'work' },
      { event: 'left', qube: 'work' },
    ]);
  });

  it('an agent that listens hears of a birth only when it is finished, and of no failed birth', async () => {
    const heard = await hears(async () => {
      await harness.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-two', template: 'ai-debian' });
      await harness.ask('@adminvm', 'qmcp.spawn.Create', {
        name: 'ai-three',
        template: 'ai-debian',
        private_size: 1,
      });
    });
    expect(heard[0]).toEqual({ event: 'appeared', qube: 'ai-two' });
    expect(heard.filter(({ qube }) => qube !== 'ai-two')).toEqual([]);
  });

  it('an agent that listens costs qubesd no call for what happens outside', async () => {
    const { host } = harness.sim;
    const original = host.call.bind(host);
    const asked: string[] = [];
    const listener = await Listener.of(harness);
    host.call = (request) => {
      asked.push(harness.named(Buffer.from(request).toString('latin1')).split('\0')[0]!);
      return original(request);
    };
    await original(Buffer.from('admin.vm.Start+ dom0 name vault\0'));
    await original(Buffer.from('admin.vm.tag.Set+x dom0 name work\0'));
    await listener.caughtUp();
    host.call = original;
    // When the listener hears a change of that qube, it has caught up.
    expect(asked.filter((request) => !request.endsWith(' ai-debian'))).toEqual([]);
    expect(asked).not.toEqual([]);
  });

  it('an agent that listens in a world is disconnected when the world is frozen', async () => {
    const { mkdirSync, writeFileSync } = await import('node:fs');
    const listener = await Listener.of(harness);
    mkdirSync(`${harness.sim.root}/var/lib/qmcp/frozen`, { recursive: true });
    writeFileSync(`${harness.sim.root}/var/lib/qmcp/frozen/ai`, '');
    await harness.operator('admin.vm.Start', 'ai-one');
    expect(await listener.end()).toMatch(/frozen"},"ok":false}\n$/);
  });
});
