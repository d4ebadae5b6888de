/** The package as a template installs it, and the programs it calls there: package managers, and the platform's copy. */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FrameDecoder, inputFrames } from '../../core/ports/frames.js';
import { installQubesdbRead } from '../../sim/guests/qubesdb.js';
import { python } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';

const root = mkdtempSync(join(tmpdir(), 'qmcp-package-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const GUEST = packageFile('guest');
const has = (program: string) => spawnSync(program, ['--version']).status === 0;
const make = (...words: string[]) => {
  const { status, stderr } = spawnSync('make', ['-C', GUEST, ...words], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, expect.any(String)]);
};
const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length))
    .sort();

/** The frames of a process for a caller that waits: the bytes of each stream, and the last frame. */
async function said(
  command: string,
  words: string[],
  request: object,
  env: NodeJS.ProcessEnv = process.env,
  cwd = '/',
) {
  const child = spawn(command, words, { env, cwd, stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.write(
    Buffer.concat([Buffer.from(`${JSON.stringify(request)}\n`), ...inputFrames(Buffer.of())]),
  );
  const streams: Record<string, string> = { stdout: '', stderr: '' };
  let last: unknown;
  const decoder = new FrameDecoder();
  for await (const chunk of child.stdout)
    for (const { kind, bytes } of decoder.push(chunk as Buffer))
      if (kind === 'reply' || kind === 'refusal') last = JSON.parse(Buffer.from(bytes).toString());
      else streams[kind] = `${streams[kind]}${Buffer.from(bytes)}`;
  return { ...streams, last };
}

/** What qrexec says to a service that is called on the qube ai-one by its name; QubesDB is in the folder. */
function called(bin: string): NodeJS.ProcessEnv {
  installQubesdbRead(bin, 'ai-one');
  return { QREXEC_SERVICE_ARGUMENT: 'ai-one' };
}

const user = userInfo().username;
const services = readdirSync(join(GUEST, 'qubes-rpc')).sort();
const modules = filesIn(join(GUEST, 'qmcp_guest'))
  .filter((path) => path.endsWith('.py'))
  .sort();

describe.skipIf(!has('make'))(
  `the package of a template${has('make') ? '' : ' (skipped: make is not installed)'}`,
  () => {
    test('the package puts its services and modules where qrexec and Python look for them', () => {
      const to = join(root, 'dest');
      make('install', `DESTDIR=${to}`);
      expect(filesIn(to)).toEqual([
        ...services.map((name) => `/etc/qubes-rpc/${name}`),
        ...modules.map((path) => `/usr/lib/qmcp/qmcp_guest${path}`),
      ]);
      for (const name of services)
        expect(readFileSync(join(to, 'etc/qubes-rpc', name), 'utf8')).toContain(
          'cd /usr/lib/qmcp && exec /usr/bin/python3',
        );
      make('uninstall', `DESTDIR=${to}`);
      expect(filesIn(to)).toEqual([]);
      expect(existsSync(join(to, 'usr/lib/qmcp'))).toBe(false);
    });

    test('the installed package answers calls, and uses no file outside itself', async () => {
      const [prefix, etc] = [join(root, 'local'), join(root, 'local/etc')];
      const others = join(etc, 'qubes-rpc/other.Service');
      mkdirSync(join(etc, 'qubes-rpc'), { recursive: true });
      writeFileSync(others, '');
      make('install', `PREFIX=${prefix}`, `SYSCONFDIR=${etc}`);
      const request = { command: 'echo here', user };
      const bin = join(prefix, 'bin');
      const env = { ...process.env, ...called(bin), PATH: `${bin}:${process.env.PATH}` };
      expect(await said(join(etc, 'qubes-rpc/qmcp.exec.Run'), [], request, env)).toMatchObject({
        stdout: 'here\n',
        last: { exit: 0 },
      });
      make('uninstall', `PREFIX=${prefix}`, `SYSCONFDIR=${etc}`);
      rmSync(bin, { recursive: true });
      expect(filesIn(root)).toEqual([others.slice(root.length)]);
    });

    test.skipIf(!has('dpkg-deb'))(
      'the package is built for Debian, is owned by root, and needs only python3',
      () => {
        make('deb');
        const [deb] = readdirSync(join(GUEST, 'build')).filter((name) => name.endsWith('.deb'));
        const show = (option: string) =>
          spawnSync('dpkg-deb', [option, join(GUEST, 'build', deb!)], { encoding: 'utf8' }).stdout;
        const listed = show('--contents')
          .trim()
          .split('\n')
          .map((line) => line.split(/\s+/));
        expect(new Set(listed.map(([, owner]) => owner))).toEqual(new Set(['root/root']));
        const names = listed.map((words) => words.at(-1)!.slice(1)).filter((name) => !name.endsWith('/'));
        expect(names).toHaveLength(services.length + modules.length);
        expect(show('--info')).toMatch(/Depends: python3 \(>= 3\.9\)\n/);
        rmSync(join(GUEST, 'build'), { recursive: true });
      },
    );
  },
);

/** A program that records its arguments, and exits with the given code. */
function stub(folder: string, name: string, exit = 0): void {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, name);
  writeFileSync(
    path,
    `#!/bin/sh\nfor word; do printf '<%s>' "$word"; done\necho " $DEBIAN_FRONTEND"\nexit ${exit}\n`,
  );
  chmodSync(path, 0o755);
}

/** The service with only these programs in PATH. */
const call = (module: string, request: object, bin: string) =>
  said(python(), ['-B', '-S', '-m', `qmcp_guest.${module}`], request, { ...called(bin), PATH: bin }, GUEST);

describe.skipIf(process.geteuid!() !== 0)('package_install, as root', () => {
  const install = (bin: string, packages = ['hello', 'g++']) => call('package_install', { packages }, bin);

  test.each([
    [
      'apt-get',
      '<-q><update> noninteractive\n<-o><APT::Cmd::Pattern-Only=true><-o><Dpkg::Use-Pty=0><-q><-y><install><hello><g++> noninteractive\n',
    ],
    ['dnf', '<-y><install><hello><g++> noninteractive\n'],
    ['pacman', '<-Sy><--noconfirm><--needed><--noprogressbar><hello><g++> noninteractive\n'],
  ])('package_install calls %s if that is installed, and asks no question', async (name, calls) => {
    const bin = join(root, `bin-${name}`);
    stub(bin, name);
    expect(await install(bin)).toMatchObject({ stdout: calls, last: { manager: name, exit: 0 } });
  });

  test('package_install reports the last failure, and that there is no package manager', async () => {
    const bin = join(root, 'bin-fails');
    stub(bin, 'dnf', 3);
    expect((await install(bin)).last).toMatchObject({ manager: 'dnf', exit: 3 });
    const none = join(root, 'bin-none');
    mkdirSync(none);
    expect((await install(none)).last).toEqual({ code: 'conflict', problem: 'no-package-manager' });
  });
});

describe('file_copy', () => {
  const copy = (exit: number, changes: object = {}) => {
    const bin = join(root, `bin-copy-${exit}`);
    stub(bin, 'qrexec-client-vm', exit);
    return call('file_copy', { target: 'ai-two', path: join(root, 'data.csv'), user, ...changes }, bin);
  };
  beforeAll(() => writeFileSync(join(root, 'data.csv'), '1'));

  test('file_copy calls the platform’s own program with an existing path', async () => {
    const { last } = await copy(0);
    expect(last).toEqual({ exit: 0, signal: null, timed_out: false, name: 'data.csv' });
    const words = `<ai-two><qubes.Filecopy></usr/lib/qubes/qfile-agent><${join(root, 'data.csv')}>`;
    expect(await copy(0)).toMatchObject({ stdout: expect.stringContaining(words) });
    expect((await copy(0, { path: join(root, 'none') })).last).toEqual({
      code: 'conflict',
      problem: 'no-such-file',
    });
  });

  test('a file_copy that the policy denies is refused like one to a missing qube, and other failures are reported', async () => {
    expect((await copy(126)).last).toEqual({ code: 'not-found' });
    expect((await copy(1)).last).toMatchObject({ exit: 1, name: 'data.csv' });
  });

  test('file_copy takes a name only as a name: not as an option, not as a path of this machine', async () => {
    for (const target of ['--help', '-t', '@adminvm', '', 'a b'])
      expect((await copy(0, { target })).last).toEqual({ code: 'invalid-request' });
    expect((await copy(0, { path: '/' })).last).toEqual({ code: 'invalid-request' });
  });
});
