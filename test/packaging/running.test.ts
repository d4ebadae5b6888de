/** The installed files in use: the daemon as its unit starts it, called by an agent through the installed links and policy. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { python } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { run, runPython } from '../../testing/run.js';
import { Harness } from '../support/harness.js';
import { until } from '../support/waiting.js';
import { bundleOfCheckout, HOME, INSTALLER, POLICY, rebundled, sha256, textOf } from './dom0.js';

const folder = mkdtempSync(join(tmpdir(), 'qm-'));
let bundle: Buffer;
let harness: Harness;
let daemon: ChildProcess;

const root = (): string => harness.sim.root;

async function install(which: Buffer, where = root()) {
  const file = join(folder, 'fetched.tar');
  writeFileSync(file, which);
  return runPython(['-IB', INSTALLER, '--root', where, 'install', file, '--sha256', sha256(which), '--yes']);
}

const unit = (key: string, file = 'qmcpd.service'): string =>
  new RegExp(`^${key}=(.*)$`, 'm').exec(
    readFileSync(join(root(), 'usr/lib/systemd/system', file), 'utf8'),
  )![1]!;

/** Starts it like systemd, with the installed code and the arguments of the installed unit. */
async function start(revoked = true): Promise<void> {
  const socket = join(root(), unit('ListenStream', 'qmcpd.socket'));
  rmSync(socket, { force: true });
  // Files of a running system, in the root of the simulated one.
  const [, ...words] = unit('ExecStart')
    .split(' ')
    .map((word) => (word.startsWith('/run/') ? join(root(), word) : word));
  daemon = spawn(
    python(),
    [
      packageFile('test/packaging/activate.py'),
      socket,
      join(root(), unit('WorkingDirectory')),
      ...words,
      '--root',
      root(),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let said = '';
  // As qmcp-expire.service does, once the grants of another boot are revoked.
  if (revoked) writeFileSync(join(root(), 'run/qmcp/expired'), '');
  await new Promise<void>((resolve, reject) => {
    daemon.stderr!.on('data', (chunk) => {
      said += chunk;
      if (said.includes('qmcpd: ready')) resolve();
    });
    daemon.once('close', () => reject(new Error(said)));
    if (!revoked) daemon.once('spawn', resolve);
  });
}

async function stop(): Promise<void> {
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  const gone = once(daemon, 'exit');
  daemon.kill('SIGTERM');
  await gone;
}

beforeAll(async () => {
  bundle = await bundleOfCheckout();
  harness = await Harness.start({
    prepare: async (where) => {
      for (const path of ['etc/qmcp', 'etc/qubes-rpc', POLICY])
        rmSync(join(where, path), { recursive: true });
      mkdirSync(join(where, 'etc/qubes-rpc'));
      expect(await install(bundle, where)).toMatchObject({ code: 0, err: '' });
    },
  });
  await harness.sim.qmcpd.kill();
  await start();
});
afterAll(async () => {
  await stop();
  await harness.close();
  rmSync(folder, { recursive: true });
});

/** Whether the installer, which asks at the end of an install, accepts this qmcpd. */
const answers = () =>
  run(python(), [
    '-B',
    '-c',
    `import sys; sys.path.insert(0, ${JSON.stringify(packageFile('test/packaging'))})
import killed, pathlib; killed.installer.START = 2; killed.installer.answers(pathlib.Path(${JSON.stringify(root())}))`,
  ]);

describe('the installed qmcpd, on the socket systemd hands it', () => {
  test('the installed qmcpd runs the installed code, not that of a checkout', async () => {
    const cwd = await run('readlink', [`/proc/${daemon.pid}/cwd`]);
    expect(cwd.out.trim()).toBe(join(root(), HOME));
  });

  test('the installed qmcpd answers an agent through the installed link and policy', async () => {
    const { code, result } = await harness.ask('@adminvm', 'qmcp.inspect.List');
    expect(code).toBe('ok');
    expect(result.qubes.length).toBeGreaterThan(0);
    const [{ name }] = result.qubes;
    expect(await harness.ask(name, 'qmcp.inspect.State')).toMatchObject({ code: 'ok', result: { name } });
  });

  test('the installed qmcpd carries out what an agent may change, and writes where its unit lets it', async () => {
    const made = { name: 'ai-made', template: 'ai-debian' };
    const { code } = await harness.ask('@adminvm', 'qmcp.spawn.Create', made);
    expect(code).toBe('ok');
    expect(harness.qube('ai-made')).toBeDefined();
    expect(harness.audit().at(-1)).toMatchObject({
      kind: 'outcome',
      service: 'qmcp.spawn.Create',
      code: 'ok',
    });
  });

  test('the installer accepts a qmcpd that works', async () => {
    expect(await answers()).toMatchObject({ code: 0 });
  });

  test('the installer does not accept a qmcpd that does not start', async () => {
    await stop();
    const { code, err } = await answers();
    expect(code).toBe(1);
    expect(err).toMatch(/ConnectionRefusedError|FileNotFoundError/);
    await start();
  });

  test('until the grants of another boot are revoked, every call is busy, and the installer waits', async () => {
    await stop();
    rmSync(join(root(), 'run/qmcp/expired'));
    await start(false);
    const before = harness.truth();
    await until(async () => (await harness.ask('@adminvm', 'qmcp.inspect.List')).code !== 'denied');
    expect(await harness.ask('@adminvm', 'qmcp.inspect.List')).toMatchObject({ code: 'busy' });
    expect(await harness.ask('ai-made', 'qmcp.spawn.Start')).toMatchObject({ code: 'busy' });
    expect(harness.truth()).toBe(before);
    const { code, err } = await answers();
    expect(code).toBe(1);
    expect(err).toContain('"busy"');
    const installing = answers();
    writeFileSync(join(root(), 'run/qmcp/expired'), '');
    expect(await installing).toMatchObject({ code: 0 });
    expect((await harness.ask('@adminvm', 'qmcp.inspect.List')).code).toBe('ok');
  });

  test('after an upgrade without a service, an agent cannot call that service, and the others answer', async () => {
    const less = rebundled(bundle, { 'etc/qmcp/contracts/qmcp.inspect.State.json': undefined });
    expect(await install(less)).toMatchObject({ code: 0, err: '' });
    await stop();
    await start();
    const { result } = await harness.ask('@adminvm', 'qmcp.inspect.List');
    const before = harness.truth();
    expect(await harness.ask(result.qubes[0].name, 'qmcp.inspect.State')).toEqual({ code: 'denied' });
    expect(harness.truth()).toBe(before);
    // Not only by the policy: the link is gone, and qmcpd has no contract for it.
    expect(JSON.parse(await harness.direct('qmcp.inspect.State', result.qubes[0].name))).toMatchObject({
      ok: false,
    });
    expect(textOf(bundle, 'etc/qmcp/contracts/qmcp.inspect.State.json')).toContain('qmcp.inspect.State');
  });

  test('after an uninstall, every call is refused, whether qmcpd still runs or not', async () => {
    const uninstall = ['-IB', INSTALLER, '--root', root(), 'uninstall', '--yes'];
    expect(await runPython(uninstall)).toMatchObject({ code: 0, err: '' });
    const before = harness.truth();
    expect(await harness.ask('@adminvm', 'qmcp.inspect.List')).toEqual({ code: 'denied' });
    expect(await harness.ask('ai-made', 'qmcp.spawn.Start')).toEqual({ code: 'denied' });
    expect(harness.truth()).toBe(before);
    expect(readFileSync(join(root(), 'var/log/qmcp/audit.log'), 'utf8')).toContain('qmcp.spawn.Create');
  });
});
