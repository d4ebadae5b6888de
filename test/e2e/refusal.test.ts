import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Harness } from '../support/harness.js';
import { qmcp, qmcpInProcess } from '../support/qmcp.js';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A host whose operator changed dom0 before its daemon started, and a folder in which to run `qmcp`. */
async function hostWith(prepare: (root: string) => void) {
  const harness = await Harness.start({ prepare });
  closing.push(() => harness.close());
  return { sim: harness.sim, client: await harness.client(), cwd: harness.folder };
}

const contract = (root: string, service: string) => join(root, `etc/qmcp/contracts/${service}.json`);

function edit(path: string, change: (text: string) => string): void {
  const before = readFileSync(path, 'utf8');
  const after = change(before);
  expect(after).not.toBe(before);
  writeFileSync(path, after);
}

// ATTACK 20
describe('against the real dom0, the server does not start', () => {
  const refused = async (
    prepare: (root: string) => void,
    config?: (cwd: string) => void,
    run = qmcpInProcess,
  ) => {
    const { client, cwd } = await hostWith(prepare);
    config?.(cwd);
    const served = await run(['serve', '--client', client], { cwd });
    expect(served).toMatchObject({ code: 1, stdout: '' });
    const { stdout } = await run(['plugins', '--client', client], { cwd });
    return { stderr: served.stderr, plugins: stdout };
  };

  test('the server does not start when a contract is missing', async () => {
    const { stderr, plugins } = await refused(
      (root) => unlinkSync(contract(root, 'qmcp.spawn.Remove')),
      undefined,
      qmcp,
    );
    expect(stderr).toMatch(/service-missing: plugin "spawn": dom0 has no contract for qmcp\.spawn\.Remove/);
    expect(plugins).toMatch(/inspect +loaded[\s\S]*spawn +refused +service-missing/);
  });

  test('the server does not start when a contract has another digest', async () => {
    const { stderr, plugins } = await refused((root) =>
      edit(contract(root, 'qmcp.spawn.Shutdown'), (text) => text.replace('"maximum": 600', '"maximum": 601')),
    );
    expect(stderr).toMatch(
      /digest-mismatch: plugin "spawn": the contract of qmcp\.spawn\.Shutdown is sha256:/,
    );
    expect(plugins).toMatch(/spawn +refused +digest-mismatch/);
  });

  test('the server does not start when a contract has other parameters of an invariant', async () => {
    const { stderr, plugins } = await refused((root) =>
      edit(contract(root, 'qmcp.spawn.Create'), (text) =>
        text.replace(
          '"DispVMTemplate"\n        ]\n      }',
          '"DispVMTemplate",\n          "DispVM"\n        ]\n      }',
        ),
      ),
    );
    expect(stderr).toContain(
      'invariant-parameters: plugin "spawn": qmcp.spawn.Create declares birth.class with {"classes":["AppVM","DispVMTemplate"]}; dom0 enforces it with {"classes":["AppVM","DispVMTemplate","DispVM"]}',
    );
    expect(plugins).toMatch(/spawn +refused +invariant-parameters/);
  });

  test('the server does not start when a contract has parameters of an invariant that dom0 never enforces', async () => {
    const { stderr } = await refused((root) =>
      edit(contract(root, 'qmcp.spawn.Create'), (text) => text.replace('"AppVM",\n', '"TemplateVM",\n')),
    );
    expect(stderr).toContain(
      'service-unusable: plugin "spawn": dom0 has a contract for qmcp.spawn.Create but does not accept it: invariants: birth.class cannot be had with {"classes": ["TemplateVM", "DispVMTemplate"]}',
    );
  });

  test('the server does not start when a plugin declares an invariant with parameters that dom0 does not enforce', async () => {
    const { stderr } = await refused(
      () => {},
      (cwd) => {
        const spawn = new URL('../../dist/plugins/spawn/plugin.js', import.meta.url).href;
        writeFileSync(
          join(cwd, 'generous.mjs'),
          `import plugin from '${spawn}';
           const wider = (each) => each.id === 'birth.class' ? { ...each, with: { classes: ['AppVM', 'StandaloneVM'] } } : each;
           const services = plugin.services.map((each) => ({ ...each, invariants: each.invariants.map(wider) }));
           export default { ...plugin, services, tools: [] };`,
        );
        writeFileSync(join(cwd, 'qmcp.config.yaml'), 'plugins: [inspect, ./generous.mjs]\n');
      },
    );
    expect(stderr).toContain(
      'invariant-parameters: plugin "spawn": qmcp.spawn.Create declares birth.class with {"classes":["AppVM","StandaloneVM"]}; dom0 enforces it with {"classes":["AppVM","DispVMTemplate"]}',
    );
  });

  test('the server does not start when the operator did not grant a plugin to this qube', async () => {
    const { stderr } = await refused((root) =>
      edit(join(root, 'etc/qmcp/qmcp.toml'), (text) => text.replace('"spawn", ', '')),
    );
    expect(stderr).toMatch(/service-not-granted: plugin "spawn": .*qmcp\.spawn\.Create/);
  });

  test('the server does not start when the policy was generated from another contract of a guest service', async () => {
    const { stderr } = await refused((root) =>
      edit(contract(root, 'qmcp.exec.Run'), (text) => text.replace('"maximum": 3600', '"maximum": 3601')),
    );
    expect(stderr).toMatch(
      /service-unusable: plugin "exec": dom0 has a contract for qmcp\.exec\.Run but does not accept it: the installed policy was not generated from this contract/,
    );
  });

  test('the server does not start when qmcpd does not run', async () => {
    const { sim, client, cwd } = await hostWith(() => {});
    await sim.qmcpd.kill();
    const { code, stderr } = await qmcpInProcess(['serve', '--client', client], { cwd });
    expect(code).toBe(1);
    expect(stderr).toMatch(/catalog-unavailable: plugins "inspect", "spawn", "exec"/);
  });
});
