import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { axioms, type WorldSnapshot } from '../../core/api/index.js';
import { deviceOf } from '../../sim/host/populate.js';
import { type SimHost, startHost } from '../../sim/index.js';
import { worldOf } from '../support/agent.js';
import { type AnyClient, v2 } from './clients.js';

/** One agent's session with every tool, and after each call the host is held against every axiom. */
let sim: SimHost;
let client: AnyClient;
let world: WorldSnapshot;
const dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
beforeAll(async () => {
  sim = await startHost({ world: 'demo', dir });
  client = await v2(['--client', await sim.client('mcp-control')], 'auto');
  world = worldOf(sim.root);
});
afterAll(async () => {
  await client.close();
  await sim.close();
  rmSync(dir, { recursive: true, force: true });
});

async function answer(name: string, args: Record<string, unknown> = {}) {
  const before = sim.snapshot();
  const { structuredContent } = await client.call(name, args);
  const after = sim.snapshot();
  const broken = axioms.AXIOMS.filter(({ holds }) => !holds(before, after, world)).map(({ id }) => id);
  expect([name, broken]).toEqual([name, []]);
  return structuredContent as Record<string, never> & { error?: { code: string } };
}

async function done(name: string, args: Record<string, unknown> = {}) {
  const result = await answer(name, args);
  expect([name, result.error]).toEqual([name, undefined]);
  return result;
}

const refused = async (name: string, args: Record<string, unknown> = {}) =>
  (await answer(name, args)).error?.code;

const names = async () =>
  ((await done('qube_list')).qubes as unknown as { name: string }[]).map(({ name }) => name);

describe('an agent’s session', { timeout: 60_000 }, () => {
  test('qubes are made, cloned and set', async () => {
    expect(await done('qube_spawn', { name: 'ai-one', template: 'ai-debian', start: true })).toMatchObject({
      state: 'running',
      network: 'sys-ai-net',
    });
    await done('qube_spawn', { name: 'ai-dvm', template: 'ai-debian', class: 'DispVMTemplate' });
    expect(await done('qube_set', { qube: 'ai-one', properties: { label: 'blue' } })).toMatchObject({
      label: 'blue',
    });
    expect(await refused('qube_set', { qube: 'ai-one', properties: { default_user: 'root' } })).toBe(
      'not-permitted',
    );
    expect(await refused('qube_feature_set', { qube: 'ai-one', feature: 'service.cups', value: '1' })).toBe(
      'not-permitted',
    );
    expect(await done('qube_clone', { source: 'ai-one', name: 'ai-two' })).toMatchObject({
      label: 'blue',
      state: 'halted',
    });
    expect(await names()).toEqual(['ai-debian', 'ai-dvm', 'ai-one', 'ai-two']);
  });

  test('one is paused, let go, killed and started', async () => {
    expect(await done('qube_pause', { qube: 'ai-one' })).toMatchObject({ state: 'paused' });
    expect(await refused('qube_unpause', { qube: 'ai-dvm' })).toBe('conflict');
    expect(await done('qube_unpause', { qube: 'ai-one' })).toMatchObject({ state: 'running' });
    expect(await done('qube_kill', { qube: 'ai-one' })).toEqual({ qube: 'ai-one', state: 'halted' });
    expect(await done('qube_start', { qube: 'ai-one' })).toMatchObject({ state: 'running' });
  });

  test('a disposable comes started, and is gone when it is killed, or shut down', async () => {
    for (const end of ['qube_kill', 'qube_shutdown']) {
      const { name } = await done('disposable_spawn', { template: 'ai-dvm' });
      expect(name).toMatch(/^disp\d+$/);
      expect(await done('qube_state', { qube: name })).toMatchObject({ class: 'DispVM', state: 'running' });
      expect(await done(end, { qube: name })).toEqual({ qube: name, state: 'halted' });
      expect(await names()).not.toContain(name);
    }
  });

  test('the network is a map, and a qube leaves it and comes back', async () => {
    const { qubes, mermaid } = await done('network_map');
    expect(qubes).toContainEqual({ qube: 'ai-one', state: 'running', network: 'sys-ai-net' });
    expect(mermaid).toMatch(/^flowchart LR\n/);
    expect(await done('network_disconnect', { qube: 'ai-one' })).toMatchObject({ network: null });
    expect(await done('egress_explain', { qube: 'ai-one', host: 'example.org' })).toMatchObject({
      passes: 'no',
      because: 'no-network',
    });
    expect(await done('network_reconnect', { qube: 'ai-one' })).toMatchObject({ network: 'sys-ai-net' });
  });

  test('outbound rules are set, shown and explained', async () => {
    const rules = [{ to: 'dns' }, { to: 'example.org', protocol: 'tcp', ports: '443' }];
    expect(await done('egress_rules_set', { qube: 'ai-one', rules })).toEqual({ rules });
    expect(await done('egress_rules_get', { qube: 'ai-one' })).toMatchObject({ rules, by: 'world' });
    expect((await done('egress_status')).qubes).toContainEqual({
      qube: 'ai-one',
      network: 'sys-ai-net',
      by: 'world',
      rules,
    });
    const ask = { qube: 'ai-one', host: 'example.org' };
    expect(await done('egress_explain', { ...ask, port: 443 })).toMatchObject({
      passes: 'yes',
      rule: rules[1],
    });
    expect(await done('egress_explain', { ...ask, port: 80 })).toMatchObject({
      passes: 'no',
      ceiling: { to: '*' },
    });
    expect(await refused('egress_rules_set', { qube: 'ai-one', rules: [{ to: 'nowhere' }] })).toBe(
      'invalid-request',
    );
  });

  test('an event ends the waiting for it', async () => {
    const waiting = client.call('event_wait', { seconds: 30, qube: 'ai-two', kinds: ['started'] });
    let over = false;
    waiting.then(() => {
      over = true;
    });
    // What happens before the stream is open is not heard: it happens until it is.
    while (!over) {
      await client.call('qube_kill', { qube: 'ai-two' });
      await done('qube_start', { qube: 'ai-two' });
    }
    const { structuredContent } = await waiting;
    expect(structuredContent).toMatchObject({ came: true });
    const { events } = structuredContent as { events: { event: string; qube: string }[] };
    expect(events.at(-1)).toEqual({ event: 'started', qube: 'ai-two' });
    expect(await done('event_wait', { seconds: 1 })).toEqual({ came: false, events: [] });
  });

  test('a device is attached between two of its qubes, and taken away', async () => {
    sim.host.plug(deviceOf(sim.host.domain('ai-two'), { class: 'block', port: 'sdb', name: 'stick' }));
    const device = { class: 'block', backend: 'ai-two', device: 'sdb' };
    expect((await done('device_list')).devices).toContainEqual(
      expect.objectContaining({ ...device, qube: 'ai-two', attached: false }),
    );
    expect((await done('device_attach', { qube: 'ai-one', ...device })).devices).toContainEqual(
      expect.objectContaining({ ...device, attached: true }),
    );
    expect((await done('device_detach', { qube: 'ai-one', ...device })).devices).toEqual([]);
  });

  test('the budget is told, and a disk grows within it', async () => {
    const line = async (name: string) =>
      ((await done('budget_get')).lines as unknown as { line: string; used: number }[]).find(
        (one) => one.line === name,
      )!.used;
    const before = await line('disk');
    expect(await done('volume_grow', { qube: 'ai-one', size: 3 * 2 ** 30 })).toMatchObject({
      disk: { size: 3 * 2 ** 30 },
    });
    expect((await line('disk')) - before).toBe(2 ** 30);
    expect(await refused('volume_grow', { qube: 'ai-one', size: 2 ** 40 })).toBe('over-budget');
  });

  test('a removed qube is no more, until it is brought back', async () => {
    await done('qube_remove', { qube: 'ai-two' });
    expect(await names()).not.toContain('ai-two');
    expect(await refused('qube_spawn', { name: 'ai-two', template: 'ai-debian' })).toBe('name-taken');
    expect(await done('qube_restore', { qube: 'ai-two' })).toEqual({ restored: 'ai-two' });
    expect(await done('qube_state', { qube: 'ai-two' })).toMatchObject({ state: 'halted', label: 'blue' });
  });

  test('of a hidden qube every tool says what it says of a missing one', async () => {
    const device = { class: 'block', backend: 'ai-one', device: 'sda' };
    const rest: Record<string, Record<string, unknown>> = {
      qube_set: { properties: { label: 'red' } },
      qube_feature_set: { feature: 'x-note', value: null },
      device_attach: device,
      device_detach: device,
      egress_rules_set: { rules: [] },
      egress_explain: { host: 'example.org' },
      volume_grow: { size: 2 ** 33 },
      exec_run: { command: 'id' },
      file_read: { path: 'f' },
      file_write: { path: 'f', content: '' },
      package_install: { packages: ['hello'] },
    };
    const about = (tool: { name: string; inputSchema?: { required?: string[] } }) =>
      tool.inputSchema?.required?.includes('qube') || tool.name === 'device_list';
    const tools = (await client.tools()).filter(about);
    expect(tools.length).toBeGreaterThan(18);
    for (const { name } of tools) {
      const [hidden, missing] = await Promise.all(
        ['vault', 'no-such-qube'].map((qube) => client.call(name, { qube, ...rest[name] })),
      );
      expect([name, hidden]).toEqual([name, missing]);
      expect(hidden!.structuredContent).toMatchObject({ error: { code: 'not-found' } });
    }
  });
});
