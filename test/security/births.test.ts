import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configure, Harness, roomy } from '../support/harness.js';
import { eventually } from '../support/waiting.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  await harness.close();
});

const spawn = (name: string, more: object = {}) =>
  harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', ...more });
const clone = (source: string, name: string) => harness.ask('@adminvm', 'qmcp.spawn.Clone', { source, name });
const disposable = (template: string) => harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template });
const tags = (name: string) => [...harness.qube(name)!.tags].sort();
const enrol = async (name: string, ...extra: string[]) => {
  for (const tag of ['ai-managed', ...extra]) await harness.operator('admin.vm.tag.Set', name, tag);
};

// ATTACK 2, ATTACK 7
// INVARIANT birth.class
// INVARIANT birth.egress-inherited
// INVARIANT birth.tagged-before-named
// INVARIANT restrictions.inherit
// INVARIANT tiers.no-escalation
// INVARIANT scope.existence-hidden
describe('a clone', () => {
  it('a clone has its source’s settings and disk, and the tags that every birth gets', async () => {
    await spawn('ai-one', { memory: 555, vcpus: 1, label: 'blue', private_size: 3 * 2 ** 30 });
    await harness.operator('admin.vm.tag.Set', 'ai-one', 'operators-note');
    await harness.operator('admin.vm.feature.Set', 'ai-one', 'tag-created-vm-with', 'ai-full');
    await harness.operator('admin.vm.property.Set', 'ai-one', 'autostart', 'True');
    expect((await clone('ai-one', 'ai-two')).code).toBe('ok');
    const { properties, features, disk } = harness.qube('ai-two')!;
    expect([properties.memory, properties.vcpus, properties.label, disk]).toEqual([
      '555',
      '1',
      'blue',
      3 * 2 ** 30,
    ]);
    expect(properties.autostart).toBe('False');
    expect(features).toEqual({ 'qmcp-network': 'sys-ai-net' });
    expect(tags('ai-two')).toEqual(['ai-born', 'ai-full', 'ai-managed', 'created-by-mcp-control']);
    for (const hatch of ['default_dispvm', 'guivm', 'audiovm', 'management_dispvm'])
      expect(properties[hatch] ?? '').toBe('');
  });

  it('a clone is on the same network as its source, or on none', async () => {
    await spawn('ai-one', { network: 'none' });
    await clone('ai-one', 'ai-two');
    expect(harness.qube('ai-two')!.properties.netvm).toBe('');
  });

  it('a clone of a qube whose network is not a gateway is refused', async () => {
    await spawn('ai-one');
    await harness.operator('admin.vm.property.Set', 'ai-one', 'netvm', 'sys-firewall');
    const before = harness.truth();
    expect((await clone('ai-one', 'ai-two')).code).toBe('not-permitted');
    expect(harness.truth()).toBe(before);
  });

  it('a template or a standalone is never cloned', async () => {
    await harness.operator('admin.vm.Create.StandaloneVM', 'dom0', '', 'name=alone label=red');
    await harness.operator('admin.vm.property.Set', 'alone', 'netvm', '');
    await enrol('alone', 'ai-full');
    const before = harness.truth();
    expect((await clone('ai-debian', 'ai-two')).code).toBe('not-permitted');
    expect((await clone('alone', 'ai-two')).code).toBe('not-permitted');
    expect(harness.truth()).toBe(before);
  });

  it('a clone of an under-tier, guarded or hidden qube is refused like a clone of a missing one', async () => {
    await enrol('work');
    await enrol('personal', 'ai-full', 'ai-guard');
    const missing = await harness.call('@adminvm', 'qmcp.spawn.Clone', { source: 'no-such', name: 'ai-two' });
    const before = harness.truth();
    for (const source of ['work', 'personal', 'vault', 'mcp-control', 'sys-ai-net', 'dom0'])
      expect(await harness.call('@adminvm', 'qmcp.spawn.Clone', { source, name: 'ai-two' })).toEqual(missing);
    expect(harness.truth()).toBe(before);
  });

  it('a clone carries the restrictions of its source, and no other tag of it', async () => {
    await spawn('ai-one');
    for (const tag of ['anon-vm', 'ai-egress-lock', 'friend'])
      await harness.operator('admin.vm.tag.Set', 'ai-one', tag);
    await clone('ai-one', 'ai-two');
    expect(tags('ai-two')).toEqual(expect.arrayContaining(['anon-vm', 'ai-egress-lock']));
    expect(tags('ai-two')).not.toContain('friend');
  });

  it('nothing is made for a principal whose qubes would not be of its world', async () => {
    await spawn('ai-one');
    await harness.operator('admin.vm.feature.Remove', 'mcp-control', 'tag-created-vm-with');
    const before = harness.truth();
    expect((await clone('ai-one', 'ai-two')).code).toBe('failed');
    expect((await spawn('ai-three')).code).toBe('failed');
    expect(harness.truth()).toBe(before);
  });

  it('a clone takes its source’s outbound rules if they are within the ceiling, the ceiling if they allow everything, or else none', async () => {
    await spawn('ai-one');
    await harness.ask('ai-one', 'qmcp.egress.RulesSet', { rules: [{ to: 'example.com' }] });
    await clone('ai-one', 'ai-two');
    expect(harness.qube('ai-two')!.firewall).toEqual(['action=accept dsthost=example.com', 'action=drop']);
    await harness.operator(
      'admin.vm.firewall.Set',
      'ai-one',
      '',
      'action=accept dsthost=operator.example\naction=accept\n',
    );
    await clone('ai-one', 'ai-three');
    expect(harness.qube('ai-three')!.firewall).toEqual(['action=drop']);
    await harness.operator('admin.vm.firewall.Set', 'ai-one', '', 'action=accept\n');
    await clone('ai-one', 'ai-four');
    expect(harness.qube('ai-four')!.firewall).toEqual(['action=accept', 'action=drop']);
  });
});

// INVARIANT crash.no-residue
describe('a disposable', () => {
  beforeEach(async () => {
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
  });

  it('a disposable is started, carries its own mark, has at most its template’s tier, and has no way out', async () => {
    const { result } = await disposable('ai-dvm');
    const born = harness.qube(result.name)!;
    expect(born.class).toBe('DispVM');
    expect(born.state).toBe('Running');
    expect(tags(result.name)).toEqual([
      'ai-disp-full',
      'ai-managed',
      'created-by-mcp-control',
      'disp-created-by-mcp-control',
    ]);
    expect(born.properties.netvm).toBe('sys-ai-net');
    for (const hatch of ['default_dispvm', 'guivm', 'audiovm', 'management_dispvm'])
      expect(born.properties[hatch] ?? '').toBe('');
    expect((await harness.ask(result.name, 'qmcp.inspect.State')).code).toBe('ok');
  });

  // ATTACK 7
  it('a disposable of an under-tier, guarded or hidden template is refused like one of a missing template', async () => {
    for (const [name, tag] of [['ai-seen'], ['ai-kept', 'ai-guard']] as const) {
      await spawn(name, { class: 'DispVMTemplate' });
      await harness.operator('admin.vm.tag.Remove', name, 'ai-full');
      if (tag) for (const one of ['ai-full', tag]) await harness.operator('admin.vm.tag.Set', name, one);
    }
    const before = harness.truth();
    const missing = await harness.call('@adminvm', 'qmcp.spawn.Disposable', { template: 'no-such-qube' });
    for (const template of ['ai-seen', 'ai-kept', 'default-dvm', 'mcp-control', 'dom0'])
      expect(await harness.call('@adminvm', 'qmcp.spawn.Disposable', { template })).toEqual(missing);
    expect(harness.truth()).toBe(before);
  });

  it('a disposable of a template without a network has no network, and its template’s rules', async () => {
    await harness.ask('ai-dvm', 'qmcp.egress.RulesSet', { rules: [{ to: 'example.com' }] });
    await harness.ask('ai-dvm', 'qmcp.networking.Disconnect');
    const { result } = await disposable('ai-dvm');
    expect(harness.qube(result.name)!.properties.netvm).toBe('');
    expect(harness.qube(result.name)!.firewall).toEqual(['action=accept dsthost=example.com', 'action=drop']);
    expect((await harness.ask(result.name, 'qmcp.networking.Reconnect')).code).toBe('not-permitted');
    expect(harness.qube(result.name)!.properties.netvm).toBe('');
  });

  it('a disposable of a template above the birth ceiling is at the birth ceiling', async () => {
    await harness.close();
    harness = await Harness.start({
      prepare: (root) => {
        roomy(root);
        configure(root, { birth_ceiling: '"exec"' });
      },
    });
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    await harness.operator('admin.vm.tag.Set', 'ai-dvm', 'ai-full');
    const { result } = await disposable('ai-dvm');
    expect(tags(result.name)).not.toContain('ai-full');
    expect(tags(result.name)).toContain('ai-disp-exec');
    expect((await harness.ask(result.name, 'qmcp.spawn.Remove')).code).toBe('denied');
  });

  it('a disposable that is removed cannot be restored', async () => {
    const { result } = await disposable('ai-dvm');
    expect((await harness.ask(result.name, 'qmcp.spawn.Remove')).code).toBe('ok');
    expect(harness.qube(result.name)).toBeUndefined();
  });

  it('a disposable of a template whose network is not a gateway is refused', async () => {
    await harness.operator('admin.vm.property.Set', 'ai-dvm', 'netvm', 'sys-firewall');
    const before = harness.truth();
    expect((await disposable('ai-dvm')).code).toBe('not-permitted');
    expect(harness.truth()).toBe(before);
  });

  it('a disposable of a qube that is not a disposable template is refused', async () => {
    await spawn('ai-one');
    const before = harness.truth();
    expect((await disposable('ai-one')).code).toBe('conflict');
    expect((await disposable('default-dvm')).code).toBe('not-found');
    expect(harness.truth()).toBe(before);
  });

  it('a disposable that the operator makes of a world’s template is never the world’s, however it is made', async () => {
    const name = await harness.operator('admin.vm.CreateDisposable', 'ai-dvm');
    await harness.operator('admin.vm.Start', name);
    expect(tags(name)).toContain('ai-full');
    // Its tags came without an event; a qube that qmcpd finds by a scan also belongs to nobody.
    for (const again of [async () => {}, () => harness.sim.qmcpd.restart()]) {
      await again();
      expect(await harness.call(name, 'qmcp.inspect.State')).toEqual(
        await harness.call('no-such', 'qmcp.inspect.State'),
      );
      expect(await harness.call(name, 'qmcp.exec.Run', { command: ['id'] })).toEqual(
        await harness.call('no-such', 'qmcp.exec.Run', { command: ['id'] }),
      );
      expect(await harness.direct('qmcp.spawn.Kill', name)).toBe(
        await harness.direct('qmcp.spawn.Kill', 'no-such'),
      );
      expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain(name);
    }
  });

  it('a disposable that qubesd had preloaded is used, and belongs to nobody until then', async () => {
    await harness.operator('admin.vm.feature.Set', 'ai-dvm', 'qrexec', '1');
    await harness.operator('admin.vm.feature.Set', 'ai-dvm', 'supported-rpc.qubes.WaitForSession', '1');
    await harness.operator('admin.vm.feature.Set', 'ai-dvm', 'supported-rpc.qubes.WaitForRunningSystem', '1');
    await harness.operator('admin.vm.feature.Set', 'ai-dvm', 'preload-dispvm-max', '1');
    const ready = () => harness.sim.host.snapshot().qubes.filter((qube) => qube.class === 'DispVM');
    await eventually(() => ready().length).toBe(1);
    const { name } = ready()[0]!;
    expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain(name);
    expect(await harness.direct('qmcp.spawn.Unpause', name)).toBe(
      await harness.direct('qmcp.spawn.Unpause', 'no-such'),
    );
    const { result } = await disposable('ai-dvm');
    expect(result.name).toBe(name);
    expect(tags(name)).toContain('ai-disp-full');
  });

  it('a disposable that fails does not remove another one, whatever tier that one has', async () => {
    await spawn('ai-low', { class: 'DispVMTemplate' });
    await harness.operator('admin.vm.tag.Remove', 'ai-low', 'ai-full');
    await harness.operator('admin.vm.tag.Set', 'ai-low', 'ai-exec');
    const [high, low] = [await disposable('ai-dvm'), await disposable('ai-low')];
    const before = harness.truth();
    for (const template of ['ai-dvm', 'ai-low']) {
      // qubesd refuses it before it has a name, so that the undo looks among all disposables.
      const undo = harness.sim.host.faults.add({
        method: 'admin.vm.CreateDisposable',
        count: 1,
        error: { type: 'QubesException', message: 'no' },
      });
      expect((await disposable(template)).code).toBe('failed');
      undo();
    }
    expect(harness.truth()).toBe(before);
    for (const { result } of [high, low]) expect(harness.qube(result.name)?.state).toBe('Running');
  });

  it('each of many disposables made at once has its own name, and none is left over', async () => {
    const answers = await Promise.all(Array.from({ length: 6 }, () => disposable('ai-dvm')));
    const names = answers.filter(({ code }) => code === 'ok').map(({ result }) => result.name);
    const there = harness.sim.host.snapshot().qubes.filter((qube) => qube.class === 'DispVM');
    expect(there.map(({ name }) => name).sort()).toEqual(names.sort());
    expect(names.length).toBe(6);
  });
});

// INVARIANT tags.operator-only
// INVARIANT crash.no-residue
describe('restoring', () => {
  it('restore gives a removed qube back with its tier and nothing more', async () => {
    await spawn('ai-one', { memory: 500 });
    const before = tags('ai-one');
    await harness.ask('ai-one', 'qmcp.spawn.Remove');
    expect(await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-one' })).toEqual({
      code: 'ok',
      result: { restored: 'ai-one' },
    });
    expect(tags('ai-one')).toEqual(before);
    expect(harness.qube('ai-one')!.properties.memory).toBe('500');
    expect(harness.qube('ai-one')!.features['qmcp-entombed']).toBeUndefined();
  });

  it('restore knows only what its own world removed, and refuses everything else like a missing qube', async () => {
    await spawn('ai-one');
    await harness.operator('admin.vm.tag.Set', 'work', 'lab-tombstone');
    await harness.operator('admin.vm.tag.Set', 'sys-ai-net', 'ai-tombstone');
    const before = harness.truth();
    for (const qube of ['no-such', 'ai-one', 'work', 'vault', 'sys-ai-net', 'mcp-control', 'dom0'])
      expect((await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube })).code).toBe('not-found');
    expect(harness.truth()).toBe(before);
  });

  it('restore is refused after the operator’s retention has ended', async () => {
    await spawn('ai-one');
    await harness.ask('ai-one', 'qmcp.spawn.Remove');
    const past = Number(harness.qube('ai-one')!.features['qmcp-entombed']) - 31 * 86_400;
    await harness.operator('admin.vm.feature.Set', 'ai-one', 'qmcp-entombed', `${past}`);
    const before = harness.truth();
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-one' })).code).toBe('not-found');
    expect(harness.truth()).toBe(before);
  });

  it('restore puts back no tag that the operator took off a removed qube', async () => {
    await spawn('ai-one');
    await harness.ask('ai-one', 'qmcp.spawn.Remove');
    await harness.operator('admin.vm.tag.Remove', 'ai-one', 'ai-full');
    await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-one' });
    expect(tags('ai-one')).toEqual(['ai-born', 'ai-managed', 'created-by-mcp-control']);
  });

  it('restore is refused for a qube that the operator took out, although a late removal marked it afterwards', async () => {
    await spawn('ai-one');
    await harness.ask('ai-one', 'qmcp.spawn.Remove');
    await harness.operator('admin.vm.tag.Remove', 'ai-one', 'ai-managed');
    // What gives authority goes with the umbrella, as soon as qmcpd hears of it.
    await eventually(() => tags('ai-one')).toEqual(['ai-tombstone', 'created-by-mcp-control']);
    const before = harness.truth();
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-one' })).code).toBe('not-found');
    expect(harness.truth()).toBe(before);
  });
});

// INVARIANT tiers.no-escalation
describe('a template that the operator gave to build on', () => {
  beforeEach(async () => {
    await harness.operator('admin.vm.tag.Remove', 'ai-debian', 'ai-full');
    await harness.operator('admin.vm.tag.Set', 'ai-debian', 'ai-source');
    await harness.sim.host.idle();
  });

  it('an agent makes qubes at the birth ceiling from a template at read that has the source tag', async () => {
    expect((await spawn('ai-one')).code).toBe('ok');
    expect(tags('ai-one')).toEqual(['ai-born', 'ai-full', 'ai-managed', 'created-by-mcp-control']);
    configure(harness.sim.root, { birth_ceiling: '"exec"' });
    await harness.sim.qmcpd.restart();
    expect((await spawn('ai-two')).code).toBe('ok');
    expect(tags('ai-two')).toEqual(['ai-born', 'ai-exec', 'ai-managed', 'created-by-mcp-control']);
  });

  it('an agent changes nothing of a template at read that has the source tag', async () => {
    const before = harness.truth();
    for (const [service, params] of [
      ['qmcp.spawn.Start', {}],
      ['qmcp.spawn.Remove', {}],
      ['qmcp.inspect.Set', { label: 'blue' }],
      ['qmcp.storage.Grow', { size: 2 ** 34 }],
    ] as const)
      expect((await harness.ask('ai-debian', service, params)).code).toBe('denied');
    expect((await clone('ai-debian', 'ai-two')).code).not.toBe('ok');
    expect((await disposable('ai-debian')).code).not.toBe('ok');
    expect(harness.truth()).toBe(before);
  });

  it('no qube is made from a template with the source tag that is guarded, removed or outside the world', async () => {
    for (const [added, removed] of [['ai-guard'], ['ai-tombstone'], [undefined, 'ai-managed']] as const) {
      if (added) await harness.operator('admin.vm.tag.Set', 'ai-debian', added);
      if (removed) await harness.operator('admin.vm.tag.Remove', 'ai-debian', removed);
      await harness.sim.host.idle();
      const before = harness.truth();
      expect((await spawn('ai-one')).code).toBe('not-found');
      expect(harness.truth()).toBe(before);
      if (added) await harness.operator('admin.vm.tag.Remove', 'ai-debian', added);
    }
  });

  it('the source tag gives no agent more of a qube that is not a template', async () => {
    await enrol('work', 'ai-source');
    await harness.sim.host.idle();
    const before = harness.truth();
    expect((await clone('work', 'ai-two')).code).toBe('not-found');
    expect(harness.truth()).toBe(before);
  });
});
