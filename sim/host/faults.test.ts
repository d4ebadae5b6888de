import { describe, expect, test } from 'vitest';
import { decodeReply, encodeRequest } from '../adminapi/messages.js';
import { soon } from '../adminapi/replay/replay.js';
import { loadHostSpec } from '../host-spec.js';
import { Host } from './host.js';

function demo(seed = 1) {
  const host = Host.load(loadHostSpec('demo'), { seed, wait: soon });
  const ask = async (...request: Parameters<typeof encodeRequest>) =>
    decodeReply(await host.call(encodeRequest(...request)));
  return { host, ask };
}

const ok = { kind: 'ok', data: '' };
const tag = (name: string) => ['admin.vm.tag.Set', 'work', { argument: name }] as const;

describe('a fault', () => {
  test('a fault refuses a method for the given number of calls, and nothing changes', async () => {
    const { host, ask } = demo();
    host.faults.add({
      method: 'admin.vm.tag.Set',
      count: 2,
      after: 1,
      error: { type: 'QubesException', message: 'no' },
    });
    const before = host.snapshot();
    expect(await ask(...tag('a'))).toEqual(ok);
    await ask('admin.vm.tag.Remove', 'work', { argument: 'a' });
    expect(await ask(...tag('b'))).toEqual({ kind: 'error', type: 'QubesException', message: 'no' });
    expect(await ask(...tag('b'))).toMatchObject({ kind: 'error' });
    expect(host.snapshot()).toEqual(before);
    expect(await ask(...tag('b'))).toEqual(ok);
  });

  test('a fault drops the connection before the effect, or after it', async () => {
    const { host, ask } = demo();
    host.faults.add({ method: 'admin.vm.tag.Set', count: 1, drop: 'before' });
    host.faults.add({ method: 'admin.vm.tag.Set', count: 1, drop: 'after' });
    expect(await ask(...tag('a'))).toEqual({ kind: 'none' });
    expect(host.qube('work')?.tags.has('a')).toBe(false);
    expect(await ask(...tag('b'))).toEqual({ kind: 'none' });
    expect(host.qube('work')?.tags.has('b')).toBe(true);
  });

  test('a fault affects one qube, or all methods of a group, or calls by chance, repeatable by the seed', async () => {
    const run = async () => {
      const { host, ask } = demo(7);
      host.faults.add({ method: 'admin.vm.*', dest: 'work', oneIn: 3, drop: 'before' });
      const hits: boolean[] = [];
      for (let at = 0; at < 30; at++) hits.push((await ask(...tag(`t${at}`))).kind === 'none');
      expect(await ask('admin.vm.tag.List', 'vault')).toMatchObject({ kind: 'ok' });
      return hits;
    };
    const first = await run();
    expect(first).toContain(true);
    expect(first).toContain(false);
    expect(await run()).toEqual(first);
  });

  test('a fault can be removed', async () => {
    const { host, ask } = demo();
    const takeBack = host.faults.add({ method: 'admin.vm.tag.Set', drop: 'before' });
    expect(await ask(...tag('a'))).toEqual({ kind: 'none' });
    takeBack();
    expect(await ask(...tag('a'))).toEqual(ok);
  });

  test.each([
    ['memory', 'QubesMemoryError', "Not enough memory to start domain 'vault'"],
    ['hypervisor', 'QubesException', /^Start failed: .*, see \/var\/log\/libvirt/],
    ['qrexec', 'QubesVMError', /^Cannot connect to qrexec agent for 60 seconds, see .*guest-vault\.log/],
  ] as const)('a fault fails one start by %s, and the next start succeeds', async (at, type, message) => {
    const { host, ask } = demo();
    host.faults.failStart('vault', at);
    expect(await ask('admin.vm.Start', 'vault')).toMatchObject({
      kind: 'error',
      type,
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    });
    expect(host.qube('vault')?.state).toBe('Halted');
    expect(await ask('admin.vm.Start', 'vault')).toEqual(ok);
  });

  test('a qube with more memory than its maxmem does not start, until one of the two is set', async () => {
    for (const [name, value] of [
      ['maxmem', '5000'],
      ['maxmem', '0'],
      ['memory', '4000'],
    ] as const) {
      const { host, ask } = demo();
      await ask('admin.vm.property.Set', 'vault', { argument: 'memory', payload: '5000' });
      expect(await ask('admin.vm.Start', 'vault')).toMatchObject({
        kind: 'error',
        type: 'QubesException',
        message: expect.stringMatching(/^Start failed: XML error: maximum memory size must be equal/),
      });
      expect(host.qube('vault')?.state).toBe('Halted');
      await ask('admin.vm.property.Set', 'vault', { argument: name, payload: value });
      expect(await ask('admin.vm.Start', 'vault')).toEqual(ok);
    }
  });

  test('a network qube that cannot start prevents the start of its client', async () => {
    const { host, ask } = demo();
    for (const name of ['personal', 'work', 'mcp-control', 'sys-ai-net', 'sys-firewall'])
      await ask('admin.vm.Kill', name);
    host.faults.failStart('sys-firewall', 'memory');
    expect(await ask('admin.vm.Start', 'work')).toMatchObject({ kind: 'error', type: 'QubesMemoryError' });
    expect(host.qube('work')?.state).toBe('Halted');
    expect(await ask('admin.vm.Start', 'work')).toEqual(ok);
    expect(host.qube('sys-firewall')?.state).toBe('Running');
  });

  test('a fault makes a qube ignore its shutdown, and a kill still ends it', async () => {
    const { host, ask } = demo();
    host.faults.hangShutdown('work');
    expect(await ask('admin.vm.Shutdown', 'work', { argument: 'wait' })).toMatchObject({
      kind: 'error',
      type: 'QubesVMShutdownTimeoutError',
    });
    expect(await ask('admin.vm.Shutdown', 'work')).toEqual(ok);
    expect(host.qube('work')?.state).toBe('Running');
    expect(await ask('admin.vm.Kill', 'work')).toEqual({ kind: 'none' });
    expect(host.qube('work')?.state).toBe('Halted');
  });

  test('a disposable that cannot start is removed', async () => {
    for (const at of ['memory', 'hypervisor', 'qrexec'] as const) {
      const { host, ask } = demo();
      await ask('admin.vm.Create.DispVM', 'dom0', { argument: 'default-dvm', payload: 'name=d label=red' });
      host.faults.failStart('d', at);
      expect(await ask('admin.vm.Start', 'd')).toMatchObject({ kind: 'error' });
      expect(host.qube('d'), at).toBeUndefined();
    }
  });

  test('a disposable that crashes is removed, and the listeners of power hear it', async () => {
    const { host, ask } = demo();
    const created = await ask('admin.vm.CreateDisposable', 'default-dvm');
    const name = created.kind === 'ok' ? created.data : '';
    const changes: string[] = [];
    host.onPower((qube, change) => changes.push(`${qube} ${change}`));
    await ask('admin.vm.Start', name);
    await host.crash(name);
    expect(host.qube(name)).toBeUndefined();
    expect(changes).toEqual([`${name} started`, `${name} stopped`, `${name} removed`]);
  });
});
