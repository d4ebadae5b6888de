import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterEach, describe, expect, test } from 'vitest';
import type { Catalog } from '../core/boot/catalog.js';
import { OWN_TOOLS } from '../core/serve/background.js';
import { BUILT_IN } from '../plugins/index.js';
import { catalogOf } from '../test/support/fake-host.js';
import { CatalogOnlyHost, QMCP, qmcp, qmcpInProcess } from '../test/support/qmcp.js';

const hosts: CatalogOnlyHost[] = [];
afterEach(() => {
  for (const host of hosts.splice(0)) host.remove();
});

/** A host whose dom0 has the built-in contracts, with this change. */
function hostWith(change: (catalog: Catalog) => void = () => {}): CatalogOnlyHost {
  const catalog = structuredClone(catalogOf(BUILT_IN)) as Catalog;
  change(catalog);
  const host = new CatalogOnlyHost(catalog);
  hosts.push(host);
  return host;
}

const CHANGES: readonly [string, string, RegExp, (catalog: Catalog) => void][] = [
  [
    'one contract is missing',
    'service-missing',
    /plugin "spawn": dom0 has no contract for qmcp\.spawn\.Remove .*qmcp-admin contract install/,
    ({ services }) => delete services['qmcp.spawn.Remove'],
  ],
  [
    'one parameter of an invariant differs',
    'invariant-parameters',
    /plugin "spawn": qmcp\.spawn\.Create declares birth\.class with \{"classes":\["AppVM","DispVMTemplate"\]\}; dom0 enforces it with \{"classes":\["AppVM","StandaloneVM"\]\}/,
    ({ services }) => {
      const create = services['qmcp.spawn.Create']!;
      create.digest = `sha256:${'1'.repeat(64)}`;
      create.invariants.find(({ id }) => id === 'birth.class')!.with = { classes: ['AppVM', 'StandaloneVM'] };
    },
  ],
  [
    'one digest differs',
    'digest-mismatch',
    /plugin "spawn": the contract of qmcp\.spawn\.Start is sha256:[0-9a-f]{12}… in the plugin and sha256:222222222222… in dom0/,
    ({ services }) => Object.assign(services['qmcp.spawn.Start']!, { digest: `sha256:${'2'.repeat(64)}` }),
  ],
];

describe('qmcp serve', () => {
  test.each(CHANGES)('qmcp serve does not start when in dom0 %s', async (_what, code, message, change) => {
    const { client, folder } = hostWith(change);
    const ran = await qmcpInProcess(['serve', '--client', client], { cwd: folder });
    expect(ran.code).toBe(1);
    expect(ran.stdout).toBe('');
    expect(ran.stderr).toContain(`${code}: `);
    expect(ran.stderr).toMatch(message);
    for (const [, other] of CHANGES.filter((each) => each[1] !== code))
      expect(ran.stderr).not.toContain(other);
  });

  test('qmcp serve reports every difference of every plugin before it exits', async () => {
    const { client, folder } = hostWith((catalog) => {
      for (const [, , , change] of CHANGES) change(catalog);
      delete catalog.services['qmcp.inspect.List'];
    });
    const { code, stderr } = await qmcp(['serve', '--client', client], { cwd: folder });
    expect(code).toBe(1);
    for (const part of ['qmcp.inspect.List', ...CHANGES.map((each) => each[1])])
      expect(stderr).toContain(part);
  });

  test('with --on-refusal skip, qmcp serve starts without the refused plugin and its tools', async () => {
    const { client, folder } = hostWith(CHANGES[0]![3]);
    const mcp = new Client({ name: 'test', version: '0' });
    const args = [QMCP, 'serve', '--client', client, '--on-refusal', 'skip'];
    await mcp.connect(
      new StdioClientTransport({ command: process.execPath, args, cwd: folder, stderr: 'ignore' }),
    );
    const { tools } = await mcp.listTools();
    const left = BUILT_IN.filter(({ id }) => id !== 'spawn').flatMap((plugin) => plugin.tools);
    expect(tools.map(({ name }) => name)).toEqual([...left.map(({ name }) => name), ...OWN_TOOLS]);
    await mcp.close();
  });

  test('a call that the qrexec policy denies returns not-found, for a hidden qube as for a missing one', async () => {
    const { client, folder } = hostWith();
    const mcp = new Client({ name: 'test', version: '0' });
    const args = [QMCP, 'serve', '--client', client];
    await mcp.connect(
      new StdioClientTransport({ command: process.execPath, args, cwd: folder, stderr: 'ignore' }),
    );
    const results = [];
    for (const qube of ['vault', 'no-such-qube'])
      for (const [name, more] of [
        ['qube_state', {}],
        ['exec_run', { command: 'id' }],
      ] as const)
        results.push(await mcp.callTool({ name, arguments: { qube, ...more } }));
    expect(new Set(results.map((result) => JSON.stringify(result))).size).toBe(1);
    expect(results[0]).toMatchObject({ isError: true, structuredContent: { error: { code: 'not-found' } } });
    await mcp.close();
  });

  test('qmcp serve does not start with a faulty configuration, and names the faulty line', async () => {
    const { client, folder } = hostWith();
    writeFileSync(join(folder, 'qmcp.config.yaml'), 'readonly: true\n');
    const ran = await qmcpInProcess(['serve', '--client', client], { cwd: folder });
    expect(ran).toMatchObject({ code: 2, stdout: '' });
    expect(ran.stderr).toContain('qmcp.config.yaml:1: readonly: unknown key; did you mean "readOnly"?');
  });

  test('qmcp serve names each plugin that it cannot find, and lists the built-in ones', async () => {
    const { client, folder } = hostWith();
    writeFileSync(join(folder, 'qmcp.config.yaml'), 'plugins: [inspect, ./nowhere.js, qmcp-none]\n');
    const ran = await qmcpInProcess(['serve', '--client', client], { cwd: folder });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/plugin-not-found: .*nowhere\.js/);
    expect(ran.stderr).toMatch(/plugin-not-found: .*qmcp-none.*built-in ones are inspect, spawn, exec/);
  });

  test('a plugin loaded from a path is checked against the same catalog of dom0', async () => {
    const { client, folder } = hostWith();
    const api = new URL('../dist/core/api/index.js', import.meta.url).href;
    writeFileSync(
      join(folder, 'mine.mjs'),
      `import { definePlugin, defineHostService, step, Type } from '${api}';
       const look = defineHostService('qmcp.mine.Look', { effect: 'read', params: Type.Object({}), invariants: [],
         steps: [step.list()], reply: Type.Object({}) });
       export default definePlugin({ id: 'mine', apiVersion: 1, title: 'Mine', services: [look], tools: [] });`,
    );
    writeFileSync(join(folder, 'qmcp.config.yaml'), 'plugins: [inspect, ./mine.mjs]\n');
    const ran = await qmcp(['plugins', '--client', client], { cwd: folder });
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/inspect +loaded +qube_list qube_state/);
    expect(ran.stdout).toMatch(/mine +refused +service-missing/);
  });
});

describe('qmcp plugins', () => {
  test('qmcp plugins lists the loaded plugins with their tools, and exits 0 when none is refused', async () => {
    const { client, folder } = hostWith();
    const ran = await qmcp(['plugins', '--client', client], { cwd: folder });
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toMatch(
      /spawn +loaded +qube_spawn qube_clone disposable_spawn qube_start .* qube_restore/,
    );
  });

  test.each(CHANGES)(
    'qmcp plugins shows which plugin is refused and why when in dom0 %s',
    async (_what, code, message, change) => {
      const { client, folder } = hostWith(change);
      const ran = await qmcpInProcess(['plugins', '--client', client], { cwd: folder });
      expect(ran.code).toBe(1);
      expect(ran.stdout).toMatch(new RegExp(`spawn +refused +${code}`));
      expect(ran.stdout).toMatch(message);
      expect(ran.stdout).toMatch(/exec +loaded +exec_run/);
    },
  );
});

describe('qmcp doctor', () => {
  test('qmcp doctor checks the way to dom0, and exits 1 when a granted service does not answer', async () => {
    const { client, folder } = hostWith();
    const ran = await qmcp(['doctor', '--client', client], { cwd: folder });
    expect(ran.code).toBe(1);
    const services = BUILT_IN.flatMap((plugin) => plugin.services).length;
    expect(ran.stdout).toMatch(
      new RegExp(`ok +dom0’s catalog: world ai, names start with ai-, ${services} services`),
    );
    expect(ran.stdout).toMatch(/FAIL +qrexec policy: .*denies qmcp\.inspect\.List/);
    expect(ran.stdout).toContain('\n1 check failed.\n');
  });

  test('qmcp doctor stops at a missing qrexec client, and names the package that provides it', async () => {
    const { folder } = hostWith();
    const ran = await qmcpInProcess(['doctor', '--client', join(folder, 'none')], { cwd: folder });
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/FAIL +qrexec client: .*none is not an executable here\n.*qubes-core-qrexec/);
  });

  test('qmcp doctor says what to check in dom0 when the policy denies the catalog', async () => {
    const host = new CatalogOnlyHost();
    hosts.push(host);
    const ran = await qmcpInProcess(['doctor', '--client', host.client], { cwd: host.folder });
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/FAIL +dom0’s catalog: .*refused by the qrexec policy/);
    expect(ran.stdout).toContain('30-qmcp.policy');
  });

  test('qmcp doctor reports a fault in the configuration', async () => {
    const { client, folder } = hostWith();
    writeFileSync(join(folder, '.qmcprc.json'), '{"onRefusal":"maybe"}');
    const ran = await qmcpInProcess(['doctor', '--client', client], { cwd: folder });
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/FAIL +configuration: .*onRefusal: expected one of "exit", "skip"/);
  });
});

test('an unknown command exits with 2 and suggests the nearest command', async () => {
  const ran = await qmcp(['sevre']);
  expect(ran.code).toBe(2);
  expect(ran.stderr).toMatch(/unknown command 'sevre'[\s\S]*serve/);
});
