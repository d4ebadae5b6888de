import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inputFrames } from '../../core/ports/frames.js';
import { eventually } from '../../test/support/waiting.js';
import { startHost } from '../index.js';
import { packageRoot } from '../root.js';
import { BwrapEngine } from './bwrap.js';
import type { Guest, ServiceCall } from './guest.js';

const why = BwrapEngine.unavailable();

/** The number of processes of the machine that run exactly this command. */
const processes = (command: string) =>
  readdirSync('/proc').filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() === command;
    } catch {
      return false;
    }
  }).length;

describe.skipIf(why !== undefined)(`a qube in a sandbox${why ? ` (skipped: ${why})` : ''}`, () => {
  let dir: string;
  let engine: BwrapEngine;
  let guests: Guest[];

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'qmcp-bwrap-'));
    engine = new BwrapEngine(join(dir, 'guests'));
    guests = [];
  });
  afterEach(async () => {
    for (const guest of guests) await guest.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  const start = async (name: string, template: string | null = 'tpl', qubeClass = 'AppVM') => {
    const guest = await engine.start({ name, template, class: qubeClass });
    guests.push(guest);
    return guest;
  };
  const run = async (guest: Guest, command: string, user = 'root') => {
    const { stdout, stderr } = await guest.run({ command, user });
    return `${Buffer.from(stdout)}${Buffer.from(stderr)}`;
  };
  /** Starts a qube, runs a command, and stops it. */
  const runOnce = async (name: string, command: string, qubeClass?: string, template?: string) => {
    const guest = await start(name, template, qubeClass);
    const said = await run(guest, command);
    await guest.stop();
    return said;
  };
  const serve = async (guest: Guest, service: string, input: string, rest: Partial<ServiceCall> = {}) => {
    let said = '';
    const receive = (bytes: Uint8Array) => {
      said += Buffer.from(bytes).toString('utf8');
    };
    const exit = await guest.serve({
      service,
      argument: '',
      source: 'mcp-control',
      user: 'user',
      stdin: (async function* () {
        yield Buffer.from(input);
      })(),
      stdout: receive,
      stderr: receive,
      signal: new AbortController().signal,
      ...rest,
    });
    return { exit, said };
  };

  it('a sandboxed qube keeps /home and /rw over a restart, and nothing else', async () => {
    const kept = '/home/user/f /rw/config/f';
    const lost = '/etc/f /root/f /tmp/f /var/f';
    const first = await start('app');
    expect(await run(first, `for f in ${kept} ${lost}; do echo here > $f; done`)).toBe('');
    expect(await run(first, `cat ${kept} ${lost} | sort -u`)).toBe('here\n');
    await first.stop();
    expect(await runOnce('app', `ls ${kept} ${lost} 2>/dev/null`)).toBe(`${kept.replace(' ', '\n')}\n`);
  });

  it.skipIf(process.geteuid?.() !== 0)(
    'a file keeps its group when it is written anew, and is not replaced if its user cannot keep its owner (needs root here)',
    async () => {
      const guest = await start('app');
      const write = async (path: string) => {
        const request = JSON.stringify({ path, size: 3 });
        const sent = Buffer.concat([Buffer.from(`${request}\n`), ...inputFrames(Buffer.from('new'))]);
        const call = { argument: 'app' };
        const { said } = await serve(guest, 'qmcp.exec.FileWrite', sent.toString('latin1'), call);
        return /access-denied|"size"/.exec(said)?.[0];
      };
      await run(
        guest,
        'sed -i "s/^nogroup:.*/nogroup:x:65534:user/" /etc/group; mkdir -m 777 /tmp/d; cd /tmp/d; for f in own group other; do echo old > $f; chmod 664 $f; chown user:user $f; done; chgrp nogroup group; chown root:user other',
      );
      expect(await write('/tmp/d/own')).toBe('"size"');
      expect(await write('/tmp/d/group')).toBe('"size"');
      expect(await write('/tmp/d/other')).toBe('access-denied');
      expect(await run(guest, 'cd /tmp/d; stat -c "%n %U %G" *; cat other')).toBe(
        'group user nogroup\nother root user\nown user user\nold\n',
      );
    },
  );

  it('a removed qube leaves no file of its sandbox', async () => {
    await runOnce('app', 'echo a > /home/user/f; chmod 000 /home/user');
    engine.forget('app');
    expect(readdirSync(join(dir, 'guests'))).toEqual([]);
    expect(await runOnce('app', 'ls -A /home/user')).toBe('');
  });

  it('a sandboxed qube shares its files with no other qube', async () => {
    await runOnce('app', 'echo a > /home/user/f');
    expect(await runOnce('other', 'ls -A /home/user')).toBe('');
  });

  it('a sandboxed disposable starts on a copy of its template’s private volume and does not change it', async () => {
    await runOnce('dvm', 'echo base > /home/user/f');
    const said = await runOnce('disp1', 'cat /home/user/f; echo changed > /home/user/f', 'DispVM', 'dvm');
    expect(said).toBe('base\n');
    expect(await runOnce('dvm', 'cat /home/user/f')).toBe('base\n');
  });

  it('a sandboxed qube has the other’s private volume after a clone, and an empty one after an import of nothing', async () => {
    await runOnce('app', 'echo a > /home/user/f');
    await engine.import({ qube: 'new', volume: 'private' }, { qube: 'app', volume: 'private' });
    expect(await runOnce('new', 'cat /home/user/f')).toBe('a\n');
    await engine.import({ qube: 'new', volume: 'private' }, null);
    expect(await runOnce('new', 'ls -A /home/user')).toBe('');
  });

  it('a sandboxed qube has no network interface but lo, and none of the machine’s', async () => {
    const table = await run(await start('app'), 'cat /proc/net/dev');
    const names = table.split('\n').flatMap((line) => /^\s*(\S+):/.exec(line)?.[1] ?? []);
    expect(names).toEqual(['lo']);
    expect(Object.keys(networkInterfaces())).not.toHaveLength(0);
  });

  it('a sandboxed qube sees no file of the machine outside /usr', async () => {
    mkdirSync(join(dir, 'secret'));
    writeFileSync(join(dir, 'secret/f'), 'secret');
    const guest = await start('app');
    for (const path of [
      packageRoot(),
      join(dir, 'secret/f'),
      '/etc/shadow',
      '/etc/resolv.conf',
      '/var/lib/dpkg',
    ])
      expect(await run(guest, `ls -d ${path}`), path).toMatch(/No such file/);
    expect(await run(guest, 'ls -A /root /home/user /tmp')).toBe('/home/user:\n\n/root:\n\n/tmp:\n');
    expect(await run(guest, 'cat /etc/hostname; hostname')).toBe('app\napp\n');
  });

  it('a sandboxed qube learns nothing about the machine from its own processes', async () => {
    const said = await run(await start('app'), 'cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline');
    expect(said).not.toContain(dir);
    expect(said).not.toContain(packageRoot());
    expect(said).not.toContain(process.env.HOME === '/root' ? process.execPath : process.env.HOME);
  });

  it('a sandboxed qube cannot change the machine’s programs or its kernel’s settings', async () => {
    const guest = await start('app');
    expect(await run(guest, 'echo x > /usr/bin/x')).toMatch(/Read-only/);
    const writable =
      "find /proc -path '/proc/[0-9]*' -prune -o -type f -perm /222 -writable -print 2> /dev/null";
    expect(await run(guest, writable)).toBe('');
    // Writes the same value, so that a success would do no harm.
    const rewrite = 'f=/proc/sys/kernel/core_pattern; umount /proc/sys; echo "$(cat $f)" > $f; echo $?';
    expect(await run(guest, rewrite)).toMatch(/^[12]\n/);
    const again = `unshare --user --map-root-user --mount --pid --fork --mount-proc sh -c '${rewrite}'`;
    expect(await run(guest, again)).not.toMatch(/^0\n/);
    expect(await run(guest, 'mount -t tmpfs x /mnt 2>&1 || mount -t tmpfs x /tmp')).not.toBe('');
  });

  it('a sandboxed qube has shells for its user and for root, and reports a service that it does not have', async () => {
    const guest = await start('app');
    const shell = await serve(guest, 'qubes.VMShell', 'echo $HOME $QREXEC_REMOTE_DOMAIN; exit 3');
    expect(shell).toEqual({ exit: 3, said: '/home/user mcp-control\n' });
    expect(await serve(guest, 'qubes.VMRootShell', 'echo $HOME; touch /etc/f')).toEqual({
      exit: 0,
      said: '/root\n',
    });
    expect(await serve(guest, 'qubes.Nothing', '')).toEqual({ exit: 127, said: '' });
    expect((await serve(guest, 'qubes.VMShell', '', { user: 'eve' })).exit).toBe(126);
  });

  it.skipIf(process.geteuid?.() !== 0)(
    'the user of a sandboxed qube cannot read root’s files (needs root here)',
    async () => {
      const guest = await start('app');
      expect(await run(guest, 'id -un', 'user')).toBe('user\n');
      expect(await run(guest, 'id -un', 'root')).toBe('root\n');
      expect(await run(guest, 'touch /etc/f; ls /root', 'user')).toMatch(
        /Permission denied(.|\n)*Permission denied/,
      );
      expect((await serve(guest, 'qubes.VMShell', 'id -u; id -G')).said).toBe('1000\n1000\n');
    },
  );

  it('a sandboxed qube answers while its caller is still sending', async () => {
    const guest = await start('app');
    let answered = () => {};
    const answer = new Promise<void>((resolve) => {
      answered = resolve;
    });
    let said = '';
    await serve(guest, 'qubes.VMShell', '', {
      stdin: (async function* () {
        yield Buffer.from('echo one\n');
        await answer;
        yield Buffer.from('echo two\n');
      })(),
      stdout: (bytes) => {
        said += Buffer.from(bytes);
        answered();
      },
    });
    expect(said).toBe('one\ntwo\n');
  });

  it('a command in a sandboxed qube ends when its caller disconnects', async () => {
    const guest = await start('app');
    const marker = `sleep 7100.${process.pid}`;
    const hangUp = new AbortController();
    const running = guest.run({ command: `${marker} & ${marker}`, user: 'user', signal: hangUp.signal });
    await eventually(() => processes(marker)).toBe(2);
    hangUp.abort();
    expect(await running).toMatchObject({ aborted: true });
    await eventually(() => processes(marker)).toBe(0);
  });

  it('a process that a command left behind runs until its sandboxed qube stops', async () => {
    const guest = await start('app');
    const marker = `sleep 7200.${process.pid}`;
    await run(guest, `setsid ${marker} > /dev/null 2>&1 &`, 'user');
    await eventually(() => processes(marker)).toBe(1);
    expect(await run(guest, 'echo still here')).toBe('still here\n');
    expect(processes(marker)).toBe(1);
    await guest.stop();
    expect(processes(marker)).toBe(0);
  });

  it('a sandboxed qube that stops ends all of its processes, and starts none afterwards', async () => {
    const guest = await start('app');
    const marker = `sleep 7300.${process.pid}`;
    const running = guest.run({ command: `trap "" TERM HUP; setsid ${marker} & ${marker}`, user: 'root' });
    await eventually(() => processes(marker)).toBe(2);
    await guest.stop();
    expect(processes(marker)).toBe(0);
    expect(await running).toMatchObject({ aborted: true });
    expect(await guest.run({ command: 'echo late', user: 'root' })).toMatchObject({ aborted: true });
    await guest.stop();
  });

  it('root in a sandboxed qube cannot end the sandbox', async () => {
    const guest = await start('app');
    await run(guest, 'kill -9 1; kill -9 -1');
    expect(await run(guest, 'echo up')).toBe('up\n');
  });

  it('a simulated host starts, stops and removes sandboxes with its qubes', async () => {
    const sim = await startHost({ spec: 'demo', dir: join(dir, 'd'), guests: 'bwrap' });
    try {
      const policy = join(sim.root, 'etc/qubes/policy.d/10-test.policy');
      writeFileSync(policy, 'qubes.VMShell * personal work allow\n');
      const inWork = async (script: string) =>
        Buffer.from(
          (await sim.call('personal', 'work', 'qubes.VMShell', Buffer.from(script))).stdout,
        ).toString();
      const marker = `sleep 7400.${process.pid}`;
      await inWork(`echo kept > f; echo lost > /tmp/f; setsid ${marker} > /dev/null 2>&1 < /dev/null &`);
      await eventually(() => processes(marker)).toBe(1);
      await sim.host.call(Buffer.from('admin.vm.Kill+ dom0 name work\0'));
      expect(processes(marker)).toBe(0);
      expect(await inWork('hostname; cat f /tmp/f')).toBe('work\nkept\n');
    } finally {
      await sim.close();
    }
  });
});
