import { mkdtempSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { findings } from '../../cli/doctor/doctor.js';
import type { Finding } from '../../cli/doctor/finding.js';
import { nodeVersion } from '../../cli/doctor/here.js';
import { resolveConfig } from '../../core/config/resolve.js';
import { pins } from '../../core/main.js';
import { SERVICES } from '../../sim/guests/services.js';
import type { SimHost } from '../../sim/index.js';
import { qmcpAdmin } from '../../testing/operator.js';
import { asShipped, Harness } from '../support/harness.js';

const POLICY = 'etc/qubes/policy.d/30-qmcp.policy';
let harness: Harness;
const home = process.cwd();
let sim: SimHost;
let client: string;
/** The folder in which qmcp runs: empty before every case. */
let here: string;

beforeAll(async () => {
  harness = await Harness.start({ prepare: asShipped });
  ({ sim } = harness);
  client = await harness.client();
  const make = { name: 'ai-one', template: 'ai-debian', start: true };
  await harness.call('@adminvm', 'qmcp.spawn.Create', make);
});
afterAll(async () => {
  process.chdir(home);
  await harness.close();
});
beforeEach(() => {
  here = mkdtempSync(join(harness.folder, 'here-'));
  process.chdir(here);
  writeFileSync('qmcp.config.yaml', 'plugins: [inspect, exec, storage]\n');
});
const undoing: (() => unknown)[] = [];
afterEach(async () => {
  for (const undo of undoing.splice(0).reverse()) await undo();
});
/** qmcpd reads its files again now, as it would a second later. */
const noticed = () => sim.qmcpd.restart();

async function found(through = client): Promise<Finding[]> {
  const all: Finding[] = [];
  for await (const each of findings({ world: 'demo', client: through }, () => {})) all.push(each);
  return all;
}

/** Changes a file of dom0 until the end of the case. */
async function edit(path: string, change: (text: string) => string): Promise<void> {
  const file = join(sim.root, path);
  const before = readFileSync(file, 'utf8');
  const after = change(before);
  expect(after).not.toBe(before);
  writeFileSync(file, after);
  // The policy is read again at every call.
  if (path !== POLICY) undoing.push(noticed);
  undoing.push(() => writeFileSync(file, before));
  if (path !== POLICY) await noticed();
}
async function take(path: string): Promise<void> {
  const file = join(sim.root, path);
  renameSync(file, `${file}.away`);
  undoing.push(noticed);
  undoing.push(() => renameSync(`${file}.away`, file));
  await noticed();
}

const CASES: readonly [what: string, break_: () => unknown, id: string, what: RegExp, fix: RegExp][] = [
  [
    'a bad configuration',
    () => writeFileSync('qmcp.config.yaml', 'readonly: true\n'),
    'config-bad',
    /qmcp\.config\.yaml:1: readonly: unknown key; did you mean "readOnly"/,
    /config show --origin/,
  ],
  [
    'a configuration that would have to be run',
    () => writeFileSync('qmcp.config.ts', 'throw 1'),
    'config-executable',
    /qmcp\.config\.ts is not read/,
    /qmcp\.config\.yaml/,
  ],
  [
    'a catalog the policy does not allow',
    () => edit(POLICY, (text) => text.replace(/^qmcp\.Catalog .*\n/m, '')),
    'catalog-denied',
    /refused by the qrexec policy/,
    /policy install/,
  ],
  [
    'a policy that is older than the contracts',
    () => edit(POLICY, (text) => text.replace(/^qmcp\.storage\.Budget .*\n/gm, '')),
    'policy-denied',
    /denies qmcp\.storage\.Budget$/,
    /qmcp-admin policy install/,
  ],
  [
    'an older contract',
    () =>
      edit('etc/qmcp/contracts/qmcp.storage.Grow.json', (text) =>
        text.replace(/"maximum": \d+/, '"maximum": 9'),
      ),
    'digest-mismatch',
    /digest-mismatch/,
    /qmcp-admin contract install qmcp\.storage\.Grow\.json/,
  ],
  [
    'a contract that is not there',
    () => take('etc/qmcp/contracts/qmcp.storage.Grow.json'),
    'service-missing',
    /service-missing/,
    /qmcp-admin contract install qmcp\.storage\.Grow\.json/,
  ],
  [
    'a plugin that is not granted',
    () => edit('etc/qmcp/qmcp.toml', (text) => text.replace('"storage", ', '')),
    'service-not-granted',
    /service-not-granted/,
    /add "storage" to "plugins" of this qube under \[world\.ai\]/,
  ],
  [
    'a guest service whose contract the policy was not made from',
    () =>
      edit('etc/qmcp/contracts/qmcp.exec.Run.json', (text) =>
        text.replace('"maximum": 3600', '"maximum": 3599'),
      ),
    'service-unusable',
    /service-unusable/,
    /policy install/,
  ],
  [
    'a guest service that is not in the template',
    () => {
      const services = SERVICES as Record<string, unknown>;
      const run = services['qmcp.exec.Run'];
      delete services['qmcp.exec.Run'];
      undoing.push(() => {
        services['qmcp.exec.Run'] = run;
      });
    },
    'guest-missing',
    /ai-one does not have it/,
    /make install.*restart ai-one/,
  ],
  [
    'a frozen world',
    async () => {
      await qmcpAdmin(sim.root, 'freeze', 'ai');
      undoing.push(() => qmcpAdmin(sim.root, 'thaw', 'ai'));
    },
    'frozen',
    /refusal frozen/,
    /qmcp-admin thaw/,
  ],
  [
    'what was pinned and is another',
    async () => {
      const flags = { qrexec: { client } };
      const { current } = await pins(await resolveConfig({ flags, env: {}, directory: here }));
      current.plugins.inspect!.tools.qube_list!.title = 'Lists';
      writeFileSync('qmcp.lock.json', JSON.stringify(current));
      writeFileSync('qmcp.config.yaml', 'plugins: [inspect]\n');
      for (const id of Object.keys(current.plugins)) if (id !== 'inspect') delete current.plugins[id];
      writeFileSync('qmcp.lock.json', JSON.stringify(current));
    },
    'pin-mismatch',
    /tool qube_list of plugin inspect: changed title/,
    /qmcp pin --review/,
  ],
];

describe('qmcp doctor', () => {
  test('qmcp doctor reports nothing on a host without faults', async () => {
    const all = await found();
    expect(all.filter(({ ok }) => !ok)).toEqual([]);
    expect(all.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['node', 'client', 'catalog', 'policy', 'guest']),
    );
    expect(all.find(({ id }) => id === 'guest')?.detail).toBe('ai-one answers');
  });

  test.each(CASES)(
    'qmcp doctor finds %s, says what to do, and reports nothing else',
    async (_what, break_, id, detail, fix) => {
      await break_();
      const wrong = (await found()).filter(({ ok }) => !ok);
      expect(new Set(wrong.map((each) => each.id))).toEqual(new Set([id]));
      expect(wrong[0]!.detail).toMatch(detail);
      expect(wrong[0]!.fix).toMatch(fix);
    },
  );

  test('the probes of qmcp doctor have no effect, inside the world or outside', async () => {
    const before = JSON.stringify(sim.host.snapshot());
    await found();
    expect(JSON.stringify(sim.host.snapshot())).toBe(before);
  });

  test('qmcp doctor finds a missing qrexec client', async () => {
    const wrong = (await found(join(here, 'none'))).filter(({ ok }) => !ok);
    expect(wrong).toMatchObject([
      { id: 'client-missing', fix: expect.stringContaining('qubes-core-qrexec') },
    ]);
  });

  test('qmcp doctor finds a qube that dom0 does not know as a principal', async () => {
    const wrong = (await found(await sim.client('work'))).filter(({ ok }) => !ok);
    expect(wrong).toMatchObject([{ id: 'catalog-denied', fix: expect.stringContaining('as a principal') }]);
  });

  test('qmcp doctor finds a Node that is too old', () => {
    expect(nodeVersion('20.18.0')).toMatchObject({
      id: 'node-too-old',
      ok: false,
      fix: 'Install Node 20.18.1 or later.',
    });
    expect(nodeVersion('18.20.8').ok).toBe(false);
    for (const version of ['20.18.1', '20.20.2', '22.0.0', '26.1.0'])
      expect(nodeVersion(version).ok).toBe(true);
  });

  test('qmcp doctor opens no dialog, and names the services that it does not test for that', async () => {
    const questions: string[] = [];
    sim.qrexec.operator = ({ service }) => {
      questions.push(service);
      return null;
    };
    expect(await harness.admin('ask', 'exec', '--yes')).toMatchObject({ code: 0, err: '' });
    undoing.push(() => harness.admin('ask', 'exec', '--off', '--yes'));
    const all = await found();
    expect(all.filter(({ ok }) => !ok)).toEqual([]);
    expect(all.find(({ id }) => id === 'asked')?.detail).toContain('qmcp.exec.Run');
    expect(questions).toEqual([]);
  });

  test('qmcp doctor finds that qmcpd does not run', async () => {
    await sim.qmcpd.kill();
    const wrong = (await found()).filter(({ ok }) => !ok);
    expect(wrong).toMatchObject([
      { id: 'catalog-silent', fix: expect.stringContaining('systemctl start qmcpd.socket') },
    ]);
  });
});
