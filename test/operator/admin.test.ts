import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { qmcpAdmin } from '../../testing/operator.js';
import { Harness } from '../support/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  await harness.close();
});

/** The operator's command, in dom0. */
const admin = (...words: string[]) => qmcpAdmin(harness.sim.root, ...words);

const spawnQube = (name: string) =>
  harness.call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });
const qube = (name: string) => harness.sim.host.snapshot().qubes.find((one) => one.name === name)!;

describe('the operator', () => {
  it('the operator sees the qubes of each world, and what an agent may do with them', async () => {
    await spawnQube('ai-one');
    const { code, out } = await admin('status');
    expect(code).toBe(0);
    expect(out).toMatch(/^world +ai\nstate +active\nprincipals +mcp-control\nuses +qubes:1\/10000, disk:/);
    expect(out).toMatch(/^ +ai-one +AppVM +Halted +full +mcp-control$/m);
    expect(out).not.toContain('vault');
  });

  it('the operator sees the qubes that agents removed, and restores one unchanged', async () => {
    await spawnQube('ai-one');
    const before = qube('ai-one');
    await harness.call('ai-one', 'qmcp.spawn.Remove');
    expect((await admin('tombstones')).out).toMatch(/^ai-one +ai +\d{4}-\d\d-\d\d \d\d:\d\d +full$/m);
    const removed = harness.truth();
    expect((await admin('restore', 'ai-one')).code).toBe(1);
    expect(harness.truth()).toBe(removed);
    const back = await admin('restore', 'ai-one', '--yes');
    expect(back).toMatchObject({ code: 0, err: '' });
    expect(back.out).toContain('restored ai-one, at full\n');
    expect(qube('ai-one')).toEqual(before);
    expect((await harness.call('ai-one', 'qmcp.inspect.State')).stdout).toContain('"name":"ai-one"');
  });

  it('the operator cannot restore a qube that was not removed', async () => {
    const before = harness.truth();
    const { code, err } = await admin('restore', 'ai-debian');
    expect([code, err]).toEqual([
      1,
      'qmcp-admin: no removed qube is called ai-debian: qmcp-admin tombstones\n',
    ]);
    expect((await admin('restore', 'no-such-qube')).code).toBe(1);
    expect(harness.truth()).toBe(before);
  });

  it('the operator enrolls a qube, after being told what an agent gains, and never without a yes', async () => {
    const before = harness.truth();
    const shown = await admin('enroll', 'work', '--world', 'ai', '--tier', 'exec');
    expect(shown.code).toBe(1);
    expect(shown.out).toMatch(/^ {2}\+ ai-exec\n {2}\+ ai-managed$/m);
    expect(shown.out).toMatch(/^an agent may$[\s\S]*^ {2}start and stop it, run commands in it as root/m);
    expect(shown.out).toContain('Not done. To do it, add --yes');
    expect(harness.truth()).toBe(before);
    expect((await admin('enroll', 'work', '--world', 'ai', '--tier', 'exec', '--yes')).code).toBe(0);
    expect(qube('work').tags).toEqual(expect.arrayContaining(['ai-managed', 'ai-exec']));
    expect((await admin('tier', 'work', 'full', '--yes')).code).toBe(0);
    expect(qube('work').tags).not.toContain('ai-exec');
    expect((await harness.call('work', 'qmcp.inspect.Set', { label: 'blue' })).stdout).toContain('"ok":true');
    await admin('guard', 'work', '--yes');
    expect((await harness.call('work', 'qmcp.inspect.Set', { label: 'red' })).exit).toBe(126);
    await admin('guard', 'work', '--off', '--yes');
    expect((await admin('expel', 'work', '--yes')).out).toContain('no agent sees it');
    expect(qube('work').tags.filter((tag) => tag.startsWith('ai-'))).toEqual([]);
  });

  it('the operator cannot enroll a principal, a gateway or dom0, and cannot set a tier without a world', async () => {
    const before = harness.truth();
    for (const words of [
      ['enroll', 'mcp-control', '--world', 'ai'],
      ['enroll', 'sys-ai-net', '--world', 'ai'],
      ['enroll', 'dom0', '--world', 'ai'],
      ['enroll', 'work', '--world', 'lab'],
      ['enroll', 'no-such', '--world', 'ai'],
      ['tier', 'work', 'full'],
    ])
      expect((await admin(...words, '--yes')).err).toMatch(/^qmcp-admin: /);
    expect(harness.truth()).toBe(before);
  });

  it('the operator takes over a disposable of an enrolled template by enrolling it', async () => {
    await harness.ask('@adminvm', 'qmcp.spawn.Create', {
      name: 'ai-dvm',
      template: 'ai-debian',
      class: 'DispVMTemplate',
    });
    const name = await harness.operator('admin.vm.CreateDisposable', 'ai-dvm');
    await harness.operator('admin.vm.Start', name);
    expect((await harness.ask(name, 'qmcp.inspect.State')).code).toBe('denied');
    expect((await admin('enroll', name, '--world', 'ai', '--tier', 'exec', '--yes')).err).toBe('');
    await harness.sim.host.idle();
    expect((await harness.ask(name, 'qmcp.inspect.State')).code).toBe('ok');
    expect(qube(name).tags).not.toContain('ai-full');
  });

  it('the operator grants a tier for a time: after it, an agent no longer has it, and no removal brings it back', async () => {
    const set = (label: string) => harness.ask('work', 'qmcp.inspect.Set', { label });
    await admin('enroll', 'work', '--world', 'ai', '--tier', 'exec', '--yes');
    expect((await set('blue')).code).toBe('denied');
    expect((await admin('tier', 'work', 'full', '--for', '30m', '--yes')).code).toBe(0);
    expect((await set('blue')).code).toBe('ok');
    expect((await admin('status')).out).toMatch(/^ +work .* full +\d\d:\d\d/m);
    await harness.ask('work', 'qmcp.spawn.Remove');
    expect((await admin('expire')).out).toBe('No grant has ended.\n');
    expect((await admin('expire', '--all')).out).toBe('revoked: work\n');
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'work' })).code).toBe('ok');
    expect((await harness.ask('work', 'qmcp.inspect.State')).code).toBe('ok');
    expect((await set('red')).code).toBe('denied');
    expect(qube('work').tags).toEqual(expect.arrayContaining(['ai-managed', 'ai-exec']));
    expect(qube('work').tags).not.toContain('ai-full');
  });

  it('the operator reaps the qubes whose retention has ended, and only those', async () => {
    for (const name of ['ai-one', 'ai-two']) {
      await spawnQube(name);
      await harness.call(name, 'qmcp.spawn.Remove');
    }
    const past = Number(qube('ai-one').features['qmcp-entombed']) - 31 * 86_400;
    await harness.operator('admin.vm.feature.Set', 'ai-one', 'qmcp-entombed', `${past}`);
    expect((await admin('reap')).out).toContain('Not done');
    expect(qube('ai-one')).toBeDefined();
    expect((await admin('reap', '--yes')).out).toContain('deleted: ai-one');
    expect(qube('ai-one')).toBeUndefined();
    expect(qube('ai-two')).toBeDefined();
  });

  it('the operator freezes and thaws one world or all', async () => {
    const refused = async () => JSON.parse((await spawnQube('ai-one')).stdout).error?.code;
    for (const world of [[], ['ai']]) {
      expect((await admin('freeze', ...world)).code).toBe(0);
      expect(await refused()).toBe('frozen');
      expect((await admin('status')).out).toMatch(/^state +frozen$/m);
      expect((await admin('thaw', ...world)).code).toBe(0);
    }
    expect(await refused()).toBeUndefined();
    expect((await admin('freeze', 'nowhere')).err).toBe(
      'qmcp-admin: NOT FROZEN: there is no world nowhere; there are ai\n',
    );
  });
});
