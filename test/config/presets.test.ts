import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Service } from '../../core/api/index.js';
import { PRESETS } from '../../core/config/defaults.js';
import { resolveConfig } from '../../core/config/resolve.js';
import { selectTools } from '../../core/config/select.js';
import { load } from '../../core/main.js';
import { BUILT_IN } from '../../plugins/index.js';
import type { SimHost } from '../../sim/index.js';
import { packageFile } from '../../sim/root.js';
import { qmcpAdmin } from '../../testing/operator.js';
import { Harness } from '../support/harness.js';
import { addressed } from '../support/qmcpd-socket.js';

/** Changes dom0 as the two files beside a preset say. */
async function ceiling(root: string, preset: string): Promise<void> {
  const grant = parse(readFileSync(packageFile(`config/generated/${preset}.qmcp.toml`), 'utf8')) as {
    world: { ai: { principal: { 'mcp-control': { plugins: string[]; destructive?: string } } } };
  };
  const { plugins, destructive } = grant.world.ai.principal['mcp-control'];
  const path = join(root, 'etc/qmcp/qmcp.toml');
  const before = readFileSync(path, 'utf8');
  const asks = destructive === undefined ? '' : `\ndestructive = ${JSON.stringify(destructive)}`;
  const after = before.replace(/^plugins = .*$/m, `plugins = ${JSON.stringify(plugins)}${asks}`);
  expect(after).not.toBe(before);
  writeFileSync(path, after);
  expect(await qmcpAdmin(root, 'policy', 'install', '--yes')).toMatchObject({ code: 0 });
  copyFileSync(
    packageFile(`config/generated/${preset}.policy`),
    join(root, `etc/qubes/policy.d/29-qmcp-${preset}.policy`),
  );
}

describe.each(PRESETS)('the preset %s, with its ceiling in dom0', (preset) => {
  let harness: Harness;
  let sim: SimHost;
  let served: { names: string[]; services: Set<string> };

  beforeAll(async () => {
    harness = await Harness.start({ prepare: (root) => ceiling(root, preset) });
    ({ sim } = harness);
    const client = await harness.client();
    const flags = { extends: [preset], qrexec: { client } };
    const config = await resolveConfig({ flags, env: {}, directory: harness.folder });
    // The server does not start if dom0 lacks one of its plugins.
    const host = await load(config);
    const tools = selectTools(host.tools, config).map(({ tool }) => tool);
    const services = tools.flatMap(({ uses }) => Object.values(uses).map(({ name }) => name));
    served = { names: tools.map(({ name }) => name), services: new Set(services) };
    await host.dispose();
  });
  afterAll(async () => {
    await harness.close();
  });

  const ask = ({ kind, name }: Service) => {
    const target = kind === 'host' || kind === 'stream' ? '@adminvm' : 'ai-debian';
    return sim.call('mcp-control', target, addressed(name, target), Buffer.from('{}'));
  };

  test('the preset serves the tools that are documented', () => {
    const page = readFileSync(new URL('../../docs/reference/config.md', import.meta.url), 'utf8');
    const row = page.split('\n').find((line) => line.startsWith(`| \`${preset}\``))!;
    expect([...row.matchAll(/`([a-z]+_[a-z_]+)`/g)].map(([, name]) => name)).toEqual(served.names);
  });

  test('the operator is asked before anything is destroyed with the preset supervised, and with no other', async () => {
    const questions: string[] = [];
    sim.qrexec.operator = ({ service, argument }) => {
      questions.push(`${service}+${argument}`);
      return null;
    };
    for (const service of BUILT_IN.flatMap(({ services }) => services))
      if (service.name === 'qmcp.spawn.Kill' || service.name === 'qmcp.spawn.Start') await ask(service);
    expect(questions).toEqual(preset === 'supervised' ? ['qmcp.spawn.Kill+ai-debian'] : []);
  });

  test('dom0 refuses what the preset leaves out, called directly, and answers what it has', async () => {
    const all = BUILT_IN.flatMap(({ services }) => services);
    const left = all.filter(({ name }) => !served.services.has(name));
    expect(left.length).toBeGreaterThan(5);
    const before = JSON.stringify(sim.host.snapshot());
    for (const service of left) {
      const { exit, stdout } = await ask(service);
      expect([service.name, exit, Buffer.from(stdout).toString()]).toEqual([service.name, 126, '']);
    }
    // A halted qube answers nobody, so of the guest services only the refusals above can be compared.
    const asked = all.filter(({ name, effect }) => served.services.has(name) && effect === 'read');
    for (const service of asked.filter(({ kind }) => kind !== 'stream' && kind !== 'guest')) {
      const { exit, stdout } = await ask(service);
      expect([service.name, exit]).toEqual([service.name, 0]);
      expect(Buffer.from(stdout).toString()).toMatch(/^(\{"ok":|$)/);
    }
    expect(JSON.stringify(sim.host.snapshot())).toBe(before);
  });
});
