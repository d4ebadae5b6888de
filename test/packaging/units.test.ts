/** The units as shipped. Nothing here starts them: test/system does. */
import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LIMITS } from '../../core/api/generated/limits.js';
import { packageFile } from '../../sim/root.js';
import { run } from '../../testing/run.js';
import { Dom0 } from './dom0.js';

const SYSTEMD = packageFile('dom0/packaging/systemd');
const UNITS = readdirSync(SYSTEMD);
const SERVICES = UNITS.filter((name) => name.endsWith('.service'));
const textOf = (name: string): string => readFileSync(join(SYSTEMD, name), 'utf8');
/** A key may be repeated; comments do not count. */
const values = (name: string, key: string): string[] =>
  [...textOf(name).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value!);

const there = (tool: string): boolean => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;

/** The settings that every unit needs, whatever else changes. */
const SANDBOX: Readonly<Record<string, readonly string[]>> = {
  NoNewPrivileges: ['yes'],
  CapabilityBoundingSet: [''],
  ProtectSystem: ['strict'],
  ProtectHome: ['yes'],
  PrivateTmp: ['yes'],
  PrivateDevices: ['yes'],
  PrivateNetwork: ['yes'],
  RestrictAddressFamilies: ['AF_UNIX'],
  SystemCallFilter: ['@system-service', '~@privileged @resources'],
  SystemCallArchitectures: ['native'],
  MemoryDenyWriteExecute: ['yes'],
  RestrictNamespaces: ['yes'],
  RestrictSUIDSGID: ['yes'],
  // /run has only what a unit needs.
  TemporaryFileSystem: ['/run:ro'],
  InaccessiblePaths: ['-/dev/shm -/dev/mqueue'],
  PrivateMounts: ['yes'],
  PrivateUsers: ['yes'],
};

/** What a unit sees of /run, and where it may write there. */
const RUN: Readonly<Record<string, { sees: string; writes: string[] }>> = {
  'qmcpd.service': { sees: '-/run/qmcp -/run/qubesd.sock -/run/systemd/notify', writes: [] },
  'qmcp-expire.service': { sees: '-/run/qubesd.sock', writes: ['-/run/qmcp'] },
  'qmcp-reap.service': { sees: '-/run/qubesd.sock', writes: [] },
  'qmcp-refresh.service': { sees: '/run/systemd/private /run/systemd/system', writes: [] },
};

describe('the systemd units', () => {
  test.each(SERVICES)('%s keeps every protection it has', (name) => {
    for (const [key, expected] of Object.entries(SANDBOX)) expect(values(name, key), key).toEqual(expected);
    expect(values(name, 'BindReadOnlyPaths')).toEqual([RUN[name]!.sees]);
    expect(values(name, 'BindPaths')).toEqual(RUN[name]!.writes);
  });

  test('no unit can keep qmcpd down, and no number of failures ends its socket', () => {
    for (const key of [
      'Requires',
      'Requisite',
      'BindsTo',
      'PartOf',
      'AssertPathExists',
      'ConditionPathExists',
    ])
      for (const name of UNITS) expect(values(name, key), `${name} ${key}`).toEqual([]);
    expect(values('qmcpd.service', 'Wants')).toEqual(['qmcpd.socket qmcp-expire.service qmcp-refresh.path']);
    expect(values('qmcpd.socket', 'TriggerLimitIntervalSec')).toEqual(['0']);
    for (const name of ['qmcpd.service', 'qmcp-expire.service', 'qmcp-refresh.service'])
      expect(values(name, 'StartLimitIntervalSec'), name).toEqual(['0']);
  });

  test('systemd hears from qmcpd three times in the limit of its watchdog', () => {
    expect(values('qmcpd.service', 'Type')).toEqual(['notify']);
    expect(values('qmcpd.service', 'WatchdogSec')).toEqual(['2min']);
    expect(3 * LIMITS.watchdog_seconds).toBe(120);
  });

  test('the units let qmcpd write only its journal, its plans and its log, as an account without groups', () => {
    const service = 'qmcpd.service';
    expect(values(service, 'User')).toEqual(['qmcpd']);
    expect(values(service, 'SupplementaryGroups')).toEqual(['qubes']);
    expect(values(service, 'StateDirectory')).toEqual(['qmcp/journal qmcp/plans']);
    expect(values(service, 'ReadWritePaths')).toEqual(['/var/log/qmcp']);
    for (const key of ['LogsDirectory', 'BindPaths', 'RuntimeDirectory', 'AmbientCapabilities'])
      expect(values(service, key).join(''), key).toBe('');
    const account = readFileSync(packageFile('dom0/packaging/sysusers.conf'), 'utf8');
    expect(account.split('\n').filter((line) => /^[a-z]/.test(line))).toEqual([
      expect.stringMatching(/^u qmcpd - .* \/usr\/sbin\/nologin$/),
    ]);
  });

  test('the units let only the group qubes reach the socket', () => {
    expect(values('qmcpd.socket', 'ListenStream')).toEqual(['/run/qmcp/qmcpd.sock']);
    for (const [key, value] of [
      ['SocketUser', 'root'],
      ['SocketGroup', 'qubes'],
      ['SocketMode', '0660'],
      ['Accept', 'no'],
    ] as const)
      expect(values('qmcpd.socket', key)).toEqual([value]);
  });

  test('the units run only installed commands, with arguments that these know', async () => {
    const commands = SERVICES.flatMap((name) => values(name, 'ExecStart'));
    expect(commands).toHaveLength(SERVICES.length);
    expect(UNITS.flatMap((name) => values(name, 'Exec(?!Start=)[A-Za-z]*'))).toEqual([
      '/usr/bin/touch /run/qmcp/expired',
    ]);
    expect(commands.sort()).toEqual([
      '/usr/bin/python3 -B -E -s -m qmcpd --after /run/qmcp/expired',
      '/usr/bin/qmcp-admin expire',
      '/usr/bin/qmcp-admin reap --yes',
      '/usr/bin/systemctl --no-block try-restart qmcpd.service',
    ]);
  });
});

describe.skipIf(!there('systemd-analyze'))('systemd-analyze', () => {
  const dom0 = new Dom0();
  const units = join(dom0.root, 'usr/lib/systemd/system');
  beforeAll(() => {
    for (const name of UNITS) dom0.write(`usr/lib/systemd/system/${name}`, textOf(name));
    for (const target of ['sysinit', 'basic', 'shutdown', 'sockets', 'timers', 'paths', 'multi-user'])
      dom0.write(`usr/lib/systemd/system/${target}.target`, '[Unit]\n');
    dom0.write('usr/lib/systemd/system/qubesd.service', '[Service]\nExecStart=/usr/bin/python3\n');
    for (const command of ['python3', 'qmcp-admin', 'systemctl', 'touch']) {
      dom0.write(`usr/bin/${command}`, '#!/bin/sh\n');
      chmodSync(join(dom0.root, 'usr/bin', command), 0o755);
    }
  });
  afterAll(() => dom0.remove());

  const verify = (name: string) =>
    run('systemd-analyze', ['verify', `--root=${dom0.root}`, join(units, name)]);

  test('systemd-analyze verify accepts the units, and rejects an unknown key', async () => {
    for (const name of UNITS) expect(await verify(name), name).toEqual({ code: 0, out: '', err: '' });
    dom0.write('usr/lib/systemd/system/qmcp-bad.service', `${textOf('qmcp-reap.service')}NoSuchKey=1\n`);
    expect((await verify('qmcp-bad.service')).err).toContain('NoSuchKey');
  });

  test('systemd-analyze security rates the exposure of every unit at 0.6 of 10 at most', async () => {
    const [major] = /\d+/.exec((await run('systemd-analyze', ['--version'])).out)!;
    // systemd can verify units that are not loaded since version 250.
    if (Number(major) < 250) return;
    for (const name of SERVICES) {
      const words = ['security', '--offline=yes', `--root=${dom0.root}`, '--threshold=6', name];
      expect(await run('systemd-analyze', words), name).toMatchObject({ code: 0 });
    }
  });
});
