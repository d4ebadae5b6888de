import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  await harness.close();
});

const reply = async (target: string, service: string, payload: unknown = {}) =>
  JSON.parse(
    (await harness.call(target, service, payload)).stdout || '{"ok":false,"error":{"code":"denied"}}',
  ) as {
    ok: boolean;
    result?: Record<string, unknown>;
    error?: { code: string };
  };
const spawn = (name: string, more: object = {}) =>
  reply('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', ...more });
const qube = (name: string) => harness.sim.host.snapshot().qubes.find((one) => one.name === name);

// INVARIANT egress.gateways-only
describe('a qube an agent makes', () => {
  it('a new qube is born tagged, on the birth gateway, without a way out, and at its source’s tier', async () => {
    expect((await spawn('ai-one')).ok).toBe(true);
    const born = qube('ai-one')!;
    expect([...born.tags].sort()).toEqual(['ai-born', 'ai-full', 'ai-managed', 'created-by-mcp-control']);
    expect(born.class).toBe('AppVM');
    expect(born.properties.netvm).toBe('sys-ai-net');
    for (const hatch of ['default_dispvm', 'guivm', 'audiovm', 'management_dispvm']) {
      expect(born.properties[hatch] ?? '').toBe('');
    }
    expect(born.properties.provides_network).toBe('False');
  });

  it('a new qube has no network if the request says so', async () => {
    await spawn('ai-one', { network: 'none' });
    expect(qube('ai-one')!.properties.netvm).toBe('');
  });

  it('a new qube never inherits its template’s network', async () => {
    await harness.operator('admin.vm.property.Set', 'ai-debian', 'netvm', 'sys-firewall');
    await spawn('ai-one');
    expect(qube('ai-one')!.properties.netvm).toBe('sys-ai-net');
  });

  it('a new qube has no tier that its source did not have', async () => {
    await harness.operator('admin.vm.tag.Remove', 'ai-debian', 'ai-full');
    await harness.operator('admin.vm.tag.Set', 'ai-debian', 'ai-exec');
    await spawn('ai-one');
    expect(qube('ai-one')!.tags).not.toContain('ai-full');
    expect(qube('ai-one')!.tags).toContain('ai-exec');
  });

  it('a new qube carries every restriction of its source', async () => {
    await harness.operator('admin.vm.tag.Set', 'ai-debian', 'anon-vm');
    await harness.operator('admin.vm.tag.Set', 'ai-debian', 'ai-egress-lock');
    await spawn('ai-one');
    expect(qube('ai-one')!.tags).toEqual(expect.arrayContaining(['anon-vm', 'ai-egress-lock']));
  });

  it('a new qube cannot be made from an under-tier template', async () => {
    await harness.operator('admin.vm.tag.Remove', 'ai-debian', 'ai-full');
    const before = harness.truth();
    expect((await spawn('ai-one')).error?.code).toBe('not-found');
    expect(harness.truth()).toBe(before);
  });

  it('a taken name is refused, and its qube does not change', async () => {
    await spawn('ai-one', { memory: 500 });
    const before = harness.truth();
    expect((await spawn('ai-one')).error?.code).toBe('name-taken');
    expect(harness.truth()).toBe(before);
  });

  it('a qube does not start on a network that the operator did not enroll', async () => {
    await spawn('ai-one');
    await harness.operator('admin.vm.property.Set', 'ai-one', 'netvm', 'sys-firewall');
    expect((await reply('ai-one', 'qmcp.spawn.Start')).error?.code).toBe('not-permitted');
    expect(qube('ai-one')!.state).toBe('Halted');
  });
});

// INVARIANT remove.is-a-tombstone
describe('removing', () => {
  it('a removed qube is a tombstone: halted, marked, and still on the disk', async () => {
    await spawn('ai-one', { start: true });
    expect(await reply('ai-one', 'qmcp.spawn.Remove')).toEqual({ ok: true, result: { removed: 'ai-one' } });
    const left = qube('ai-one')!;
    expect(left.state).toBe('Halted');
    expect([...left.tags].sort()).toEqual([
      'ai-born',
      'ai-full',
      'ai-managed',
      'ai-tombstone',
      'created-by-mcp-control',
    ]);
    expect(left.features['qmcp-entombed']).toMatch(/^\d+$/);
  });

  it('a removed qube looks as if it had never existed', async () => {
    await spawn('ai-one');
    await reply('ai-one', 'qmcp.spawn.Remove');
    for (const service of ['qmcp.inspect.State', 'qmcp.spawn.Start', 'qmcp.spawn.Remove']) {
      expect(await harness.call('ai-one', service)).toEqual(await harness.call('no-such-qube', service));
      expect(await harness.direct(service, 'ai-one')).toBe(await harness.direct(service, 'no-such-qube'));
    }
    expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain('ai-one');
    expect((await spawn('ai-one')).error?.code).toBe('name-taken');
  });
});

// INVARIANT audit.complete
describe('removing a template', () => {
  const remove = (name: string) => reply(name, 'qmcp.spawn.Remove');

  it('a template for disposables is not removed while a disposable of the world runs from it', async () => {
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    await spawn('ai-other', { class: 'DispVMTemplate' });
    const made = await reply('@adminvm', 'qmcp.spawn.Disposable', { template: 'ai-dvm' });
    const before = harness.truth();
    expect(await remove('ai-dvm')).toEqual({ ok: false, error: { code: 'conflict' } });
    expect(harness.truth()).toBe(before);
    expect((await remove('ai-other')).ok).toBe(true);
    await reply(String(made.result!.name), 'qmcp.spawn.Kill');
    expect((await remove('ai-dvm')).ok).toBe(true);
  });

  it('a template is not removed while a qube of the world runs from it, and qubes outside the world do not count', async () => {
    for (const tag of ['ai-exec', 'ai-net', 'ai-full'])
      await harness.operator('admin.vm.tag.Set', 'ai-debian', tag);
    await spawn('ai-one');
    await reply('ai-one', 'qmcp.spawn.Start');
    const before = harness.truth();
    expect(await remove('ai-debian')).toEqual({ ok: false, error: { code: 'conflict' } });
    expect(harness.truth()).toBe(before);
    // Its principal runs from the same template as any other qube of the host, and is none of the world's.
    await harness.operator('admin.vm.tag.Remove', 'ai-one', 'ai-managed');
    expect((await remove('ai-debian')).ok).toBe(true);
  });
});

describe('the audit log', () => {
  it('the audit log has an intent and an outcome for every change, and no value of it', async () => {
    await spawn('ai-one', { memory: 567 });
    const entries = harness.audit();
    expect(entries.map(({ kind, service, code }) => [kind, service, code])).toEqual([
      ['intent', 'qmcp.spawn.Create', undefined],
      ['outcome', 'qmcp.spawn.Create', 'ok'],
    ]);
    expect(entries[0]!.call).toBe(entries[1]!.call);
    // Every field that is not a hash, an identity or a time, so that no value can hide.
    for (const { hash, prev, call, time, kind, code, ...rest } of entries)
      expect(rest).toEqual({
        seq: expect.any(Number),
        principal: 'mcp-control',
        world: 'ai',
        service: 'qmcp.spawn.Create',
        target: 'dom0',
        names: ['ai-debian', 'ai-one'],
      });
  });
});

// INVARIANT frozen.means-frozen
describe('a frozen world', () => {
  it('in a frozen world, no call has an effect until it is thawed', async () => {
    const { mkdirSync, rmSync, writeFileSync } = await import('node:fs');
    const frozen = `${harness.sim.root}/var/lib/qmcp/frozen`;
    mkdirSync(frozen, { recursive: true });
    writeFileSync(`${frozen}/ai`, '');
    const before = harness.truth();
    expect((await spawn('ai-one')).error?.code).toBe('frozen');
    expect((await reply('ai-debian', 'qmcp.spawn.Start')).error?.code).toBe('frozen');
    expect(harness.truth()).toBe(before);
    rmSync(`${frozen}/ai`);
    expect((await spawn('ai-one')).ok).toBe(true);
  });
});
