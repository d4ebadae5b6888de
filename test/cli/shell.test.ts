import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SimHost } from '../../sim/index.js';
import { asShipped, Harness } from '../support/harness.js';
import { qmcp, qmcpInProcess } from '../support/qmcp.js';

let harness: Harness;
let dir: string;
let sim: SimHost;
let client: string;
beforeAll(async () => {
  harness = await Harness.start({ prepare: asShipped });
  ({ sim, folder: dir } = harness);
  client = await harness.client();
  writeFileSync(
    join(dir, 'qmcp.config.yaml'),
    'plugins: [inspect, exec, storage]\ntools: { exclude: [qube_set] }\n',
  );
});
afterAll(async () => {
  await harness.close();
});
const callWith =
  (run: typeof qmcp) =>
  (...words: string[]) =>
    run(['call', '--client', client, ...words], { cwd: dir });
const call = callWith(qmcpInProcess);

describe('qmcp call', () => {
  test('qmcp call shows a list as a table, and as JSON with --json', async () => {
    const shown = await callWith(qmcp)('qube_list');
    const json = await call('qube_list', '--json');
    expect(shown).toMatchObject({ code: 0, stderr: '' });
    expect(shown.stdout).toMatch(
      /^prefix {2}ai-\n\nqubes\nname +class +state\nai-debian +TemplateVM +halted\n$/,
    );
    expect(JSON.parse(json.stdout)).toMatchObject({ prefix: 'ai-', qubes: [{ name: 'ai-debian' }] });
  });

  test('qmcp call exits with 1 and the refusal that an agent gets, and nothing has changed', async () => {
    const before = JSON.stringify(sim.host.snapshot());
    const [hidden, missing] = await Promise.all(
      ['vault', 'no-such-qube'].map((qube) => call('volume_grow', `qube=${qube}`, 'size=3000000000')),
    );
    expect(hidden).toMatchObject({ code: 1, stdout: '' });
    expect(hidden!.stderr).toMatch(/^qmcp: not-found: /);
    expect(missing).toEqual(hidden);
    expect(JSON.stringify(sim.host.snapshot())).toBe(before);
  });

  test('qmcp call exits with 2 on a mistake of the command line', async () => {
    const [key, value, tool, filtered] = await Promise.all([
      call('qube_state', 'quba=x'),
      call('volume_grow', 'qube=ai-debian', 'size=much'),
      call('qube_lst'),
      call('qube_set', 'qube=ai-debian'),
    ]);
    expect(key).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean qube?') });
    expect(value).toMatchObject({ code: 2, stderr: expect.stringContaining('/size must be') });
    expect(tool).toMatchObject({ code: 2, stderr: expect.stringContaining('did you mean qube_list?') });
    // A plugin that the configuration excludes is excluded here too.
    expect(filtered).toMatchObject({ code: 2, stdout: '' });
  });
});

test('QMCP_DEBUG writes lines of the channels it names to standard error, and nothing that a call carries', async () => {
  const words = ['call', '--client', client, 'file_read', 'qube=ai-debian', 'path=/etc/s3cret\u001b[2J'];
  const { code, stderr } = await qmcpInProcess(words, { cwd: dir, env: { QMCP_DEBUG: '*' } });
  expect(code).toBe(1);
  expect(stderr).toMatch(/^qmcp \[config\]: plugins: from .*qmcp\.config\.yaml:1$/m);
  expect(stderr).toMatch(/^qmcp \[boot\]: dom0 answered: world ai, \d+ services$/m);
  expect(stderr).toMatch(/^qmcp \[boot\]: plugin loaded: exec, 9 tools$/m);
  expect(stderr).toMatch(/^qmcp \[qrexec\]: #2 qmcp\.exec\.FileRead\+ai-debian on ai-debian: /m);
  expect(stderr).toMatch(/^qmcp \[calls\]: #1 file_read: refused, not-found$/m);
  expect(stderr).not.toContain('s3cret');
  const one = await qmcpInProcess(words, { cwd: dir, env: { QMCP_DEBUG: 'calls' } });
  expect(one.stderr.match(/^qmcp \[\w+\]/gm)).toEqual(['qmcp [calls]', 'qmcp [calls]']);
});

test('an unknown channel in QMCP_DEBUG is an error that lists the channels, and nothing is started', async () => {
  const { code, stdout, stderr } = await qmcpInProcess(['call', '--client', client, 'qube_list'], {
    cwd: dir,
    env: { QMCP_DEBUG: 'call' },
  });
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(
    'QMCP_DEBUG: unknown channel "call"; did you mean "calls"? the channels are config, boot, qrexec, calls',
  );
});

test('qmcp tools lists the served tools, and says why others are not served', async () => {
  const args = ['tools', '--client', client, '--read-only', '--all'];
  const { code, stdout } = await qmcpInProcess(args, { cwd: dir });
  expect(code).toBe(0);
  expect(stdout).toMatch(/^qube_list +read +inspect +served +List the qubes$/m);
  expect(stdout).toMatch(/^exec_run +destroy +exec +read-only +/m);
  expect(stdout).toMatch(/^qube_set +write +inspect +(filtered out|read-only) /m);
});

test('qmcp config show says where each value comes from', async () => {
  const args = ['config', 'show', '--origin', '--timeout', '9'];
  const { code, stdout } = await qmcpInProcess(args, { cwd: dir, env: { QMCP_READ_ONLY: 'true' } });
  expect(code).toBe(0);
  expect(stdout).toMatch(/^tools\.exclude +qmcp\.config\.yaml:2 +qube_set$/m);
  expect(stdout).toMatch(/^readOnly +QMCP_READ_ONLY +true$/m);
  expect(stdout).toMatch(/^qrexec\.timeout +--timeout +9$/m);
  expect(stdout).toMatch(/^onRefusal +default +exit$/m);
});
