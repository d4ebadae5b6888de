import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type PythonProcess, python, startPython } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { Harness } from '../support/harness.js';
import { eventually, until } from '../support/waiting.js';

type Event = Readonly<Record<string, unknown>> & { readonly event: string };

const words = () => [
  '-B',
  packageFile('dom0/operator/qmcp-admin'),
  '--root',
  harness.sim.root,
  'watch',
  '--json',
];
let harness: Harness;
let watch: PythonProcess;
let text: string;
beforeEach(async () => {
  harness = await Harness.start();
  const words = [
    '-B',
    packageFile('dom0/operator/qmcp-admin'),
    '--root',
    harness.sim.root,
    'watch',
    '--json',
  ];
  text = '';
  watch = startPython(words, { stdio: ['ignore', 'pipe', 'ignore'] });
  watch.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await until(() => events('qubesd').length > 0);
});
afterEach(async () => {
  watch.kill();
  await harness.close();
});

/** The events of a kind, the first ones included. The last line may not be whole yet. */
const events = (kind: string): Event[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Event)
    .filter(({ event }) => event === kind);

it('qmcp-admin watch shows the calls of an agent and the qubes they change, as it happens', async () => {
  await harness.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian' });
  await harness.ask('ai-one', 'qmcp.spawn.Start');
  await eventually(() => events('log').map(({ entry }) => entry)).toMatchObject([
    { kind: 'intent', service: 'qmcp.spawn.Create' },
    { kind: 'outcome', service: 'qmcp.spawn.Create', code: 'ok' },
    { kind: 'intent', service: 'qmcp.spawn.Start' },
    { kind: 'outcome', service: 'qmcp.spawn.Start', code: 'ok' },
  ]);
  await eventually(() => events('qube').at(-1)).toMatchObject({
    qube: 'ai-one',
    world: 'ai',
    state: 'Running',
    tier: 'full',
  });
});

it('qmcp-admin watch shows what the operator does, and a qube that leaves its world once more', async () => {
  await harness.operator('admin.vm.tag.Set', 'work', 'ai-managed');
  await eventually(() => events('qube').at(-1)).toMatchObject({ qube: 'work', world: 'ai' });
  await harness.admin('freeze', 'ai');
  await eventually(() => events('frozen').at(-1)).toMatchObject({ worlds: ['ai'] });
  await harness.admin('thaw', 'ai');
  await eventually(() => events('frozen').at(-1)).toMatchObject({ worlds: [] });
  await harness.admin('expel', 'work', '--yes');
  await eventually(() => events('qube').at(-1)).toEqual({
    event: 'qube',
    qube: 'work',
    world: null,
    state: null,
    tier: null,
    switches: [],
  });
  // Qubes of no world are nobody's business here.
  await harness.operator('admin.vm.tag.Set', 'vault', 'mine');
  await harness.admin('freeze', 'ai');
  await eventually(() => events('frozen').at(-1)).toMatchObject({ worlds: ['ai'] });
  expect(events('qube').filter(({ qube }) => qube === 'vault')).toEqual([]);
});

it('qmcp-admin watch goes on, and says so, when qmcp.toml is invalid', async () => {
  expect(events('settings')).toMatchObject([{ problem: null }]);
  writeFileSync(join(harness.sim.root, 'etc/qmcp/qmcp.toml'), 'nonsense = 1\n');
  await eventually(() => events('settings').at(-1)?.problem).toMatch(/expected the key world/);
  await harness.admin('freeze');
  await eventually(() => events('frozen').at(-1)).toMatchObject({ worlds: ['all'] });
});

it('qmcp-admin watch ends when nobody reads what it writes', async () => {
  const own = spawn(python(), words(), { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(own.stdout, 'data');
  own.stdout.destroy();
  expect(await once(own, 'exit')).toEqual([0, null]);
});
