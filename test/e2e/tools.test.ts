import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CHECKS } from '../../model/invariants.js';
import { deviceOf } from '../../sim/host/populate.js';
import { asShipped, sharedHarness } from '../support/harness.js';
import { FOREVER } from '../support/waiting.js';
import { type AnyClient, v2 } from './clients.js';

/** One agent's session with every tool; after each call, the host is checked against every axiom. */
const harness = sharedHarness({ prepare: asShipped });
let client: AnyClient;
beforeAll(async () => {
  client = await v2(['--client', await harness().client()], 'auto');
});
afterAll(() => client.close());

async function answer(name: string, args: Record<string, unknown> = {}) {
  const { sim } = harness();
  const before = sim.snapshot();
  const { structuredContent } = await client.call(name, args);
  const after = sim.snapshot();
  const world = harness().world();
  const broken = CHECKS.filter(({ holds }) => !holds(before, after, world)).map(({ id }) => id);
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

describe('an agent’s session', () => {
  test('an agent makes, clones and configures qubes', async () => {
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

  test('an agent pauses, resumes, kills and starts a qube', async () => {
    expect(await done('qube_pause', { qube: 'ai-one' })).toMatchObject({ state: 'paused' });
    expect(await refused('qube_unpause', { qube: 'ai-dvm' })).toBe('conflict');
    expect(await done('qube_unpause', { qube: 'ai-one' })).toMatchObject({ state: 'running' });
    expect(await done('qube_kill', { qube: 'ai-one' })).toEqual({ qube: 'ai-one', state: 'halted' });
    expect(await done('qube_start', { qube: 'ai-one' })).toMatchObject({ state: 'running' });
  });

  test('an agent gets a disposable that runs, and it is gone after a kill or a shutdown', async () => {
    for (const end of ['qube_kill', 'qube_shutdown']) {
      const { name } = await done('disposable_spawn', { template: 'ai-dvm' });
      expect(name).toMatch(/^disp\d+$/);
      expect(await done('qube_state', { qube: name })).toMatchObject({ class: 'DispVM', state: 'running' });
      expect(await done(end, { qube: name })).toEqual({ qube: name, state: 'halted' });
      expect(await names()).not.toContain(name);
    }
  });

  test('an agent runs commands in the foreground, in the background and in a disposable', async () => {
    const ran = await done('exec_run', { qube: 'ai-one', command: 'echo out; echo err >&2; exit 3' });
    expect(ran).toMatchObject({ exit: 3, stdout: 'out\n', stderr: 'err\n' });
    expect(await done('exec_output', { handle: ran.handle })).toMatchObject({ content: 'out\n', next: null });
    const { handle } = await done('exec_run', {
      qube: 'ai-one',
      command: `echo on; ${FOREVER}`,
      background: true,
    });
    expect(await done('exec_output', { handle, wait: 60 })).toMatchObject({ running: true, content: 'on\n' });
    expect(await done('exec_stop', { handle })).toMatchObject({ running: false, signal: 'SIGTERM' });
    const before = await names();
    const thrown = await done('disposable_run', { template: 'ai-dvm', command: 'hostname' });
    expect(thrown.stdout).toMatch(/^disp\d+\n$/);
    expect(await names()).toEqual(before);
    const killed = { template: 'ai-dvm', command: FOREVER, timeout: 1 };
    expect(await done('disposable_run', killed)).toMatchObject({ timed_out: true });
    expect(await names()).toEqual(before);
    expect(await refused('disposable_run', { template: 'ai-debian', command: 'id' })).toBe('conflict');
  });

  test('an agent writes, lists, reads and copies files', async () => {
    await done('qube_start', { qube: 'ai-two' });
    const file = { qube: 'ai-one', path: 'd/f' };
    await done('file_write', { ...file, content: 'one\n', parents: true });
    await done('file_write', { ...file, content: 'two\n', append: true });
    expect(await done('file_read', file)).toMatchObject({
      content: 'one\ntwo\n',
      encoding: 'text',
      next: null,
    });
    expect(await done('file_list', { qube: 'ai-one', path: 'd' })).toMatchObject({
      entries: [expect.objectContaining({ name: 'f', type: 'file', size: 8 })],
    });
    const copied = await done('file_copy', { source: 'ai-one', target: 'ai-two', path: 'd' });
    expect(copied).toMatchObject({ copied: true, to: 'QubesIncoming/ai-one/d' });
    expect(await done('file_read', { qube: 'ai-two', path: `${copied.to}/f` })).toMatchObject({
      content: 'one\ntwo\n',
    });
    expect(await done('file_copy', { source: 'ai-one', target: 'ai-two', path: 'd' })).toMatchObject({
      copied: false,
    });
    await done('qube_kill', { qube: 'ai-two' });
  });

  test('an agent installs packages from the network', async () => {
    const install = { qube: 'ai-one', packages: ['hello'] };
    expect(await done('package_install', install)).toMatchObject({ exit: 0 });
    expect(await done('exec_run', { qube: 'ai-one', command: ['hello'] })).toMatchObject({
      stdout: 'Hello, world!\n',
    });
    expect(await done('package_install', { ...install, packages: ['no-such-package'] })).toMatchObject({
      exit: 100,
      stderr: 'E: Unable to locate package no-such-package\n',
    });
    expect(await refused('package_install', { ...install, packages: ['--help'] })).toBe('invalid-request');
  });

  test('an agent sees the network as a map, and takes a qube off it and back', async () => {
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

  test('an agent sets, reads and explains outbound rules', async () => {
    const rules = [{ to: 'dns' }, { to: 'example.org', protocol: 'tcp', ports: '443' }];
    expect(await done('egress_rules_set', { qube: 'ai-one', rules })).toMatchObject({
      rules,
      takes_effect: 'soon',
    });
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

  test('an agent’s wait ends with an event', async () => {
    const waiting = client.call('event_wait', { seconds: 30, qube: 'ai-two', kinds: ['started'] });
    let over = false;
    waiting.then(() => {
      over = true;
    });
    // An event before the stream is open is lost, so repeat it until one is heard.
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

  test('an agent attaches a device of one of its qubes to another, and detaches it', async () => {
    const { host } = harness().sim;
    host.plug(deviceOf(host.domain('ai-two'), { class: 'block', port: 'sdb', name: 'stick' }));
    const device = { class: 'block', backend: 'ai-two', device: 'sdb' };
    expect((await done('device_list')).devices).toContainEqual(
      expect.objectContaining({ ...device, qube: 'ai-two', attached: false }),
    );
    expect((await done('device_attach', { qube: 'ai-one', ...device })).devices).toContainEqual(
      expect.objectContaining({ ...device, attached: true }),
    );
    expect((await done('device_detach', { qube: 'ai-one', ...device })).devices).toEqual([]);
  });

  test('an agent reads the budget, and grows a disk within it', async () => {
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

  test('an agent cannot reach a removed qube until it is restored', async () => {
    await done('qube_remove', { qube: 'ai-two' });
    expect(await names()).not.toContain('ai-two');
    expect(await refused('qube_spawn', { name: 'ai-two', template: 'ai-debian' })).toBe('name-taken');
    expect(await done('qube_restore', { qube: 'ai-two' })).toEqual({ restored: 'ai-two' });
    expect(await done('qube_state', { qube: 'ai-two' })).toMatchObject({ state: 'halted', label: 'blue' });
  });

  test('an agent can do nothing with a hidden qube or a handle of it, and gets the answers for a missing one', async () => {
    const asked: [string, (qube: string) => object][] = [
      ['file_copy', (source) => ({ source, target: 'ai-one', path: 'f' })],
      ['file_copy', (target) => ({ source: 'ai-one', target, path: 'd' })],
      ['disposable_run', (template) => ({ template, command: 'id' })],
      ['exec_output', (qube) => ({ handle: `${qube}:0123456789abcdef` })],
      ['exec_stop', (qube) => ({ handle: `${qube}:0123456789abcdef` })],
    ];
    for (const [name, args] of asked) {
      const [hidden, missing] = await Promise.all(
        ['vault', 'no-such-qube'].map((qube) => client.call(name, { ...args(qube) })),
      );
      expect([name, hidden]).toEqual([name, missing]);
      expect(hidden!.structuredContent).toMatchObject({ error: { code: 'not-found' } });
    }
  });

  test('an agent gets from every tool the same answer for a hidden qube as for a missing one', async () => {
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
