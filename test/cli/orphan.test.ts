import { fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { packageFile } from '../../sim/root.js';
import { qmcpInProcess } from '../support/qmcp.js';
import { ends } from '../support/waiting.js';

test('a simulated host ends when its parent is gone, although a guest is in a busy loop', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
  const host = fork(packageFile('dist/sim/main.js'), ['--dir', join(dir, 'host')], { stdio: 'ignore' });
  onTestFinished(() => {
    host.kill('SIGKILL');
    rmSync(dir, { recursive: true, force: true });
  });
  const [{ client }] = (await once(host, 'message')) as [{ client: string }];
  const call = (...words: string[]) => qmcpInProcess(['call', '--client', client, ...words], { cwd: dir });
  expect(await call('qube_start', 'qube=ai-debian')).toMatchObject({ code: 0 });
  const loop = ['qube=ai-debian', 'command=while :; do :; done', 'background=true'];
  expect(await call('exec_run', ...loop)).toMatchObject({ code: 0 });
  // The host hears of it as it does when its parent has died: the channel closes.
  host.disconnect();
  await ends('the host', once(host, 'exit'));
  expect([host.exitCode, host.signalCode]).toEqual([0, null]);
});
