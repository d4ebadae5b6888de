import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { qmcpAdmin } from '../../testing/operator.js';
import { SimulatedCalls } from '../../testing/simulated-calls.js';
import { Harness } from '../support/harness.js';
import { holdFirst } from '../support/interference.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  await harness.close();
});

const FROZEN = '{"error":{"code":"frozen"},"ok":false}\n';
const qube = (name: string) => harness.sim.host.snapshot().qubes.find((one) => one.name === name);
const create = (more: object = {}) =>
  harness.call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian', ...more });

function freeze() {
  mkdirSync(`${harness.sim.root}/var/lib/qmcp/frozen`, { recursive: true });
  writeFileSync(`${harness.sim.root}/var/lib/qmcp/frozen/ai`, '');
}

describe('a world is frozen during a call', () => {
  it('a call that waited for another one has no effect after the freeze', async () => {
    await create();
    const held = holdFirst(harness, 'admin.vm.Start');
    const first = harness.call('ai-one', 'qmcp.spawn.Start');
    await held.arrived;
    const second = harness.call('ai-one', 'qmcp.spawn.Remove');
    await harness.underWay(2);
    freeze();
    held.release();
    expect((await first).stdout).toBe(FROZEN);
    expect((await second).stdout).toBe(FROZEN);
    expect(qube('ai-one')?.state).toBe('Halted');
    expect(qube('ai-one')?.tags).toContain('ai-full');
  });

  it('a birth in progress is undone after the freeze', async () => {
    const held = holdFirst(harness, 'admin.vm.Create.AppVM');
    const birth = create({ start: true });
    await held.arrived;
    freeze();
    held.release();
    expect((await birth).stdout).toBe(FROZEN);
    expect(qube('ai-one')).toBeUndefined();
  });
});

// INVARIANT frozen.means-frozen
describe('the operator freezes a world', () => {
  it('the installed policy freezes a world whose qmcp.toml no longer parses', async () => {
    await create({ start: true });
    const calls = new SimulatedCalls(harness.sim, 'mcp-control');
    const run = async (target = 'ai-one') => {
      const stdin = Buffer.from('{"path":"note","size":0}\nI\0\0\0\0');
      const call = { target, service: `qmcp.exec.FileWrite+${target}`, stdin, keepStdinOpen: true };
      return (await calls.call({ ...call, timeout: 600, maxBytes: 4096 })).exit;
    };
    expect(await run()).toBe(0);
    const toml = `${harness.sim.root}/etc/qmcp/qmcp.toml`;
    writeFileSync(toml, readFileSync(toml, 'utf8').replace('birth_gateway', 'birth_gatewai'));
    for (const world of [[], ['ai']]) {
      expect(await qmcpAdmin(harness.sim.root, 'freeze', ...world)).toMatchObject({ code: 0, err: '' });
      expect(await run()).toBe(await run('no-such-qube'));
      expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).toBe(FROZEN);
      expect(await qmcpAdmin(harness.sim.root, 'thaw', ...world)).toMatchObject({ code: 0, err: '' });
      expect(await run()).toBe(0);
    }
  });

  it('a freeze can pause running qubes, take them off the network or kill them, and thaw undoes the first two', async () => {
    await create({ start: true });
    const before = qube('ai-one');
    expect(before?.properties.netvm).toBe('sys-ai-net');
    expect(await qmcpAdmin(harness.sim.root, 'freeze', '--cut', '--pause')).toMatchObject({
      code: 0,
      err: '',
    });
    expect(qube('ai-one')).toMatchObject({ state: 'Paused', properties: { netvm: '' } });
    expect(await qmcpAdmin(harness.sim.root, 'thaw')).toMatchObject({ code: 0, err: '' });
    expect(qube('ai-one')).toEqual(before);
    expect(await qmcpAdmin(harness.sim.root, 'freeze', 'ai', '--kill')).toMatchObject({ code: 0, err: '' });
    expect(qube('ai-one')?.state).toBe('Halted');
    await qmcpAdmin(harness.sim.root, 'thaw', 'ai');
    expect(qube('ai-one')?.state).toBe('Halted');
  });

  it('in a frozen world, no command runs and no file is written in a qube until it is thawed', async () => {
    await create({ start: true });
    const calls = new SimulatedCalls(harness.sim, 'mcp-control');
    const stdin = Buffer.from(`${JSON.stringify({ path: 'note', size: 0 })}\nI\0\0\0\0`);
    const write = async (target = 'ai-one') => {
      const service = `qmcp.exec.FileWrite+${target}`;
      const { exit, stdout } = await calls.call({
        target,
        service,
        stdin,
        keepStdinOpen: true,
        timeout: 600,
        maxBytes: 4096,
      });
      return [exit, Buffer.from(stdout).toString()];
    };
    const refused = await write('no-such-qube');
    expect(await write()).toEqual([0, expect.stringContaining('/home/user/note')]);
    for (const world of ['ai', 'all']) {
      expect((await qmcpAdmin(harness.sim.root, 'freeze', ...(world === 'ai' ? [world] : []))).code).toBe(0);
      expect(await write()).toEqual(refused);
      expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).toBe(FROZEN);
      expect((await qmcpAdmin(harness.sim.root, 'thaw', ...(world === 'ai' ? [world] : []))).code).toBe(0);
      expect((await write())[0]).toBe(0);
    }
  });
});
