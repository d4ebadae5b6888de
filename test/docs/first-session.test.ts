/** The tutorial as a reader follows it: runs every line of its sections 3 to 5 in one shell, against one simulated host. */
import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { HostProcess } from '../../cli/host/simulated.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TEXT = readFileSync(join(ROOT, 'docs/tutorial/first-session.md'), 'utf8');

/** The expected output after a line with this beginning. A line of the tutorial without a row here fails the test. */
const SEEN: readonly (readonly [start: string, sees: RegExp])[] = [
  ['export ', /^$/],
  ['alias ', /^$/],
  ['npx --no-install qmcp tools', /qube_spawn .*exec_run /s],
  ['npx --no-install qmcp call qube_list', /ai-debian/],
  ['npx --no-install qmcp call qube_spawn name=ai-one', /state +running/],
  ['npx --no-install qmcp call exec_run qube=ai-one command=id', /not-found/],
  ['npx --no-install qmcp call exec_run', /uid=1000.*hello/s],
  ['npx --no-install qmcp call qube_state', /not-found/],
  ['npx --no-install qmcp call qube_spawn name=vault', /name-not-allowed/],
  ['npx --no-install qmcp call qube_spawn name=ai-two', /not-found/],
  ["echo '{}' |", /exit 126/],
  ['echo \'{"name"', /"code":"invalid-request"/],
  ["echo '' |", /exit 126/],
  ['admin status', /ai-one .*full/],
  ['admin audit tail', /qmcp\.spawn\.Create/],
  ['admin check', /./],
  ['admin freeze ai', /frozen: ai/],
  ['npx --no-install qmcp doctor', /FAIL/],
  ['admin thaw ai', /thawed: ai/],
  ['admin tier ai-one read', /- ai-full/],
  ['admin tier ai-one full', /\+ ai-full/],
  ['npx --no-install qmcp call qube_shutdown', /halted|no tool/],
  ['npx --no-install qmcp call qube_remove', /removed +ai-one/],
  ['admin tombstones', /ai-one/],
  ['npx --no-install qmcp call qube_restore', /restored +ai-one/],
];

let folder: string;
let sim: HostProcess;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'qmcp-tutorial-'));
  // A separate process, like the reader's other terminal.
  const { startSimulatedHost } = (await import(
    new URL('../../dist/cli/host/simulated.js', import.meta.url).href
  )) as typeof import('../../cli/host/simulated.js');
  sim = await startSimulatedHost({ world: 'demo', dir: join(folder, 'host'), quiet: true });
  // The reader's working directory: a checkout that contains the host's folder.
  for (const name of ['dom0', 'package.json'])
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  symlinkSync(join(ROOT, 'cli'), join(folder, 'cli'));
});
afterAll(async () => {
  await sim?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('every line of the first session does what the tutorial says', async () => {
  const sections = TEXT.slice(TEXT.indexOf('\n## 3.'), TEXT.indexOf('\n## 6.'));
  const lines = [...sections.matchAll(/```sh\n(.*?)```/gs)].flatMap(([, block]) => block!.trim().split('\n'));
  expect(lines.length).toBeGreaterThan(20);
  const mark = '@@line@@';
  const script = lines
    .map((line) => `echo ${mark}\n${line.replace(/^npx --no-install qmcp/, `node "${ROOT}cli/qmcp.js"`)}`)
    .join('\n');
  const { stdout } = await promisify(execFile)(
    'bash',
    ['-c', `shopt -s expand_aliases\nexec 2>&1\n${script}\n`],
    {
      cwd: folder,
      env: { ...process.env, NO_COLOR: '1' },
    },
  ).catch((failed: { stdout: string }) => failed);
  const outputs = stdout.split(`${mark}\n`).slice(1);
  expect(outputs).toHaveLength(lines.length);
  lines.forEach((line, at) => {
    const row = SEEN.find(([start]) => line.startsWith(start));
    expect(row, `no row says what is seen after: ${line}`).toBeDefined();
    expect(outputs[at], line).toMatch(row![1]);
  });
  const [hidden, missing] = ['qube_state qube=vault', 'qube_state qube=attic'].map(
    (call) => outputs[lines.findIndex((line) => line.endsWith(call))],
  );
  expect(hidden).toBe(missing);
});
