import { spawn } from 'node:child_process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageFile } from '../../sim/root.js';
import { Seat } from '../security/host.js';

let seat: Seat;
beforeEach(async () => {
  seat = await Seat.take();
});
afterEach(async () => {
  await seat.leave();
});

/** The operator's command, in dom0. */
function admin(...words: string[]): Promise<{ code: number | null; out: string; err: string }> {
  return new Promise((resolve) => {
    const command = packageFile('dom0/operator/qmcp-admin');
    const child = spawn('python3', ['-B', command, '--root', seat.sim.root, ...words]);
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.once('close', (code) => resolve({ code, out, err }));
  });
}

const spawnQube = (name: string) =>
  seat.call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });
const qube = (name: string) => seat.sim.host.snapshot().qubes.find((one) => one.name === name)!;

describe('the operator', () => {
  it('sees each world’s qubes and what an agent may do with them', async () => {
    await spawnQube('ai-one');
    const { code, out } = await admin('status');
    expect(code).toBe(0);
    expect(out).toContain('world ai: active; principals mcp-control');
    expect(out).toMatch(/^ai-one +AppVM +Halted +full +mcp-control$/m);
    expect(out).not.toContain('vault');
  });

  it('sees what agents removed, and gives it back as it was', async () => {
    await spawnQube('ai-one');
    const before = qube('ai-one');
    await seat.call('ai-one', 'qmcp.spawn.Remove');
    expect((await admin('tombstones')).out).toMatch(
      /^ai-one +ai +\d{4}-\d\d-\d\d \d\d:\d\d +ai-full ai-managed$/m,
    );
    expect(await admin('restore', 'ai-one')).toMatchObject({
      code: 0,
      out: 'restored ai-one with ai-full ai-managed\n',
    });
    expect(qube('ai-one')).toEqual(before);
    expect((await seat.call('ai-one', 'qmcp.inspect.State')).stdout).toContain('"name":"ai-one"');
  });

  it('restores nothing that was not removed', async () => {
    const before = seat.truth();
    const { code, err } = await admin('restore', 'ai-debian');
    expect([code, err]).toEqual([1, 'qmcp-admin: ai-debian is no removed qube: see qmcp-admin tombstones\n']);
    expect((await admin('restore', 'no-such-qube')).code).toBe(1);
    expect(seat.truth()).toBe(before);
  });

  it('freezes and thaws, one world or all', async () => {
    const refused = async () => JSON.parse((await spawnQube('ai-one')).stdout).error?.code;
    for (const world of [[], ['ai']]) {
      expect((await admin('freeze', ...world)).code).toBe(0);
      expect(await refused()).toBe('frozen');
      expect((await admin('status')).out).toContain('world ai: frozen');
      expect((await admin('thaw', ...world)).code).toBe(0);
    }
    expect(await refused()).toBeUndefined();
    expect((await admin('freeze', 'nowhere')).err).toBe(
      'qmcp-admin: there is no world nowhere; there are ai, all\n',
    );
  });
});
