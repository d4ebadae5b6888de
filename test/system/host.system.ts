/**
 * qmcp on a machine with systemd, from the first install to the purge. The tests go on from each other, in this order: it is one
 * machine, which is installed, broken, repaired and cleaned.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bundleOfCheckout, HOME, rebundled, sha256, textOf } from '../packaging/dom0.js';
import { eventually, until } from '../support/waiting.js';
import { Machine } from './machine.js';

let machine: Machine;
let bundle: Buffer;
let newer: Buffer;
let before: string;

/** Every file below these folders, with its type, mode, owner and digest: what a purge has to leave as it was. */
const FILES = `
for each in /etc /usr /opt /srv /var/lib /var/log/qmcp /run/qmcp /run/systemd/system; do
  find $each -xdev ! -type d -printf '%p %y %m %u %g %l\\n' 2>/dev/null || true
done | grep -vE '^/etc/(group|passwd|shadow|gshadow|subuid|subgid|.pwd.lock)-? |/var/lib/systemd/(random-seed|catalog)' | sort
cat /etc/passwd /etc/group | sort`;

/** The documented commands, with the digest of this bundle. */
const installing = async (which: Buffer) => {
  machine.write('root/qmcp.tar', which);
  return machine.run(
    'sh',
    '-uc',
    `cd /root && echo ${sha256(which)}  qmcp.tar | sha256sum -c --quiet && rm -rf q && mkdir q && tar -C q -xf qmcp.tar
     q/usr/lib/qmcp/packaging/qmcp-dom0 install qmcp.tar --sha256 ${sha256(which)} --yes; code=$?; rm -rf /root/q; exit $code`,
  );
};
const list = () => machine.call('qmcp.inspect.List');

beforeAll(async () => {
  machine = await Machine.create(process.env.QMCP_SYSTEM_ROOT!);
  await machine.boot();
  await machine.sh('systemctl enable --now qubesd qubes-qrexec-policy-daemon');
  bundle = await bundleOfCheckout();
  newer = rebundled(bundle, {
    [`${HOME}/version.json`]: textOf(bundle, `${HOME}/version.json`).replace('"0.1.0"', '"0.2.0"'),
    [`${HOME}/qmcpd/more.py`]: 'x = 1\n',
  });
  before = await machine.sh(FILES);
});
afterAll(() => machine.remove());

describe('a first install on a machine with systemd', () => {
  test('the documented commands install qmcp, and then an agent’s call is answered', async () => {
    expect(await installing(bundle)).toMatchObject({ code: 0 });
    expect(await list()).toBe('ok');
    expect(await machine.call('qmcp.spawn.Create', 'dom0', { name: 'ai-made', template: 'ai-debian' })).toBe(
      'ok',
    );
  });

  test('every unit runs, and the one-shot ones succeed', async () => {
    for (const unit of [
      'qmcpd.service',
      'qmcpd.socket',
      'qmcp-refresh.path',
      'qmcp-expire.timer',
      'qmcp-reap.timer',
    ])
      expect(await machine.property(unit, 'ActiveState'), unit).toBe('active');
    for (const unit of ['qmcp-expire', 'qmcp-reap', 'qmcp-refresh']) {
      await machine.sh(`systemctl start ${unit}.service`);
      expect(await machine.property(`${unit}.service`, 'Result'), unit).toBe('success');
    }
    await until(async () => (await list()) === 'ok');
    expect(await machine.sh('systemctl --failed --plain --no-legend')).toBe('');
  });

  test('systemd rates the exposure of every unit that it has loaded at 0.6 of 10 at most', async () => {
    for (const unit of ['qmcpd', 'qmcp-expire', 'qmcp-reap', 'qmcp-refresh'])
      expect(
        await machine.run('systemd-analyze', 'security', '--threshold=6', `${unit}.service`),
        unit,
      ).toMatchObject({
        code: 0,
      });
  });

  test('each timer is due again', async () => {
    const timers = await machine.sh('systemctl list-timers --all --no-legend');
    expect(timers).toMatch(/^(?!n\/a|-).*qmcp-reap\.timer/m);
    expect(timers).toMatch(/^(?!n\/a|-).*qmcp-expire\.timer/m);
  });

  test('systemd gets the notifications of qmcpd: that it is ready, and that it works', async () => {
    expect(await machine.property('qmcpd', 'Type')).toBe('notify');
    expect(await machine.property('qmcpd', 'WatchdogUSec')).toBe('2min');
    expect(Number(await machine.property('qmcpd', 'WatchdogTimestampMonotonic'))).toBeGreaterThan(0);
  });
});

/** Runs Python in the view of qmcpd: its mounts, its user, its groups. */
const asQmcpd = async (script: string): Promise<unknown> => {
  const pid = await machine.property('qmcpd', 'MainPID');
  const words = [
    'nsenter',
    '-t',
    pid,
    '-m',
    '-n',
    '-i',
    'setpriv',
    '--reuid=qmcpd',
    '--regid=qmcpd',
    '--groups=qubes',
  ];
  const { code, out, err } = await machine.run(...words, '/usr/bin/python3', '-c', script);
  return code === 0 ? JSON.parse(out) : err;
};

describe('the sandbox of qmcpd, while it runs', () => {
  test('qmcpd has no capability, gets no privilege, and runs under the filter of system calls', async () => {
    const status = await machine.sh('cat /proc/$(systemctl show --value -p MainPID qmcpd)/status');
    for (const line of [
      'CapEff:\t0000000000000000',
      'CapBnd:\t0000000000000000',
      'NoNewPrivs:\t1',
      'Seccomp:\t2',
    ])
      expect(status).toContain(line);
    expect(status).toMatch(/^Groups:\t98 \d+ *$/m);
  });

  test('qmcpd can write its journal, the plans and its log, and no other file, also not in /run, /dev/shm and /dev/mqueue', async () => {
    const written = await asQmcpd(`
import json, os
found = []
for folder, folders, _ in os.walk("/"):
    if folder in ("/proc", "/sys", "/tmp", "/var/tmp"):
        folders.clear()
        continue
    try:
        with open(f"{folder}/qmcp-probe", "w"):
            found.append(folder)
        os.unlink(f"{folder}/qmcp-probe")
    except OSError:
        pass
print(json.dumps(sorted(found)))`);
    expect(written).toEqual(['/var/lib/qmcp/journal', '/var/lib/qmcp/plans', '/var/log/qmcp']);
  });

  const SOCKETS = `
import glob, json, os, socket, stat
found = []
for folder, _, names in os.walk("/run"):
    for path in (f"{folder}/{name}" for name in names):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            continue
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            try:
                with socket.socket(socket.AF_UNIX, kind) as peer:
                    peer.connect(path)
                found.append(path)
            except OSError:
                pass
print(json.dumps(sorted(found)))`;

  test('of all sockets of the machine, qmcpd reaches qubesd’s one, its own, and that of systemd’s notifications', async () => {
    expect(await asQmcpd(SOCKETS)).toEqual([
      '/run/qmcp/qmcpd.sock',
      '/run/qubesd.sock',
      '/run/systemd/notify',
    ]);
  });

  test('when qubesd restarts, qmcpd reaches its new socket, and still none of its others', async () => {
    await machine.sh('systemctl restart qubesd');
    await until(async () => (await list()) === 'ok');
    await eventually(() => asQmcpd(SOCKETS)).toEqual([
      '/run/qmcp/qmcpd.sock',
      '/run/qubesd.sock',
      '/run/systemd/notify',
    ]);
  });
});

describe('after a crash', () => {
  test('a killed qmcpd is started again, and a call that comes meanwhile is answered', async () => {
    const pid = await machine.property('qmcpd', 'MainPID');
    await machine.sh(`kill -9 ${pid}`);
    expect(await list()).toBe('ok');
    expect(await machine.property('qmcpd', 'MainPID')).not.toBe(pid);
  });

  test('a qubesd that crashes is found again', async () => {
    await machine.sh('kill -9 $(systemctl show --value -p MainPID qubesd)');
    await until(async () => (await list()) === 'ok');
  });

  test('qmcpd starts without qubesd, answers busy however often it is called, and works as soon as qubesd is there', async () => {
    await machine.sh(
      'systemctl stop qubesd qmcpd qmcpd.socket qmcp-expire.timer qmcp-expire; rm -f /run/qubesd.sock /run/qmcp/expired',
    );
    await machine.sh('systemctl start qmcpd.socket qmcpd qmcp-expire.timer');
    for (let calls = 0; calls < 30; calls += 1) expect(await list()).toBe('busy');
    expect(await machine.property('qmcpd.service', 'ActiveState')).toBe('active');
    expect(await machine.property('qmcpd.socket', 'ActiveState')).toBe('active');
    await machine.sh('systemctl start qubesd');
    await eventually(list).toBe('ok');
  });

  test('a qmcpd that cannot start leaves its socket, and works as soon as the cause is gone', async () => {
    await machine.sh('mv /etc/qmcp/qmcp.toml /root/; systemctl restart qmcpd || true');
    await eventually(async () => Number(await machine.property('qmcpd', 'NRestarts'))).toBeGreaterThan(1);
    expect(await machine.property('qmcpd.socket', 'ActiveState')).toBe('active');
    await machine.sh('mv /root/qmcp.toml /etc/qmcp/');
    await eventually(list).toBe('ok');
  });

  test('after a reboot, the grants of the last boot are revoked before qmcpd takes a call', async () => {
    const grant = { qube: 'ai-debian', boot: 'another', over: 9_999_999_999, untag: ['ai-exec'], retag: [] };
    await machine.sh('mkdir -p -m 0700 /var/lib/qmcp/grants');
    machine.write('var/lib/qmcp/grants/0123456789abcdef.intent', JSON.stringify(grant));
    await machine.reboot();
    await eventually(list).toBe('ok');
    expect(await machine.sh('ls /var/lib/qmcp/grants')).toBe('');
    expect(await machine.sh('journalctl -b -u qmcp-expire --no-pager -o cat')).toContain(
      'revoked: ai-debian',
    );
  });
});

describe('when the machine is in trouble', () => {
  test('a qubesd that is stopped by a signal makes calls busy, and they are answered when it goes on', async () => {
    await machine.sh('systemctl kill -s STOP qubesd');
    expect(await list()).toBe('busy');
    expect(await machine.call('qmcp.spawn.Create', 'dom0', { name: 'ai-late', template: 'ai-debian' })).toBe(
      'busy',
    );
    await machine.sh('systemctl kill -s CONT qubesd');
    await eventually(list).toBe('ok');
  });

  test('on a full disk no change begins, and with room again it does; the log stays whole', async () => {
    const create = () =>
      machine.call('qmcp.spawn.Create', 'dom0', { name: 'ai-full', template: 'ai-debian' });
    await machine.sh(`
      systemctl stop qmcpd
      mount -t tmpfs -o size=4m,mode=1770,gid=$(id -g qmcpd) tmpfs /var/log/qmcp
      systemctl start qmcpd`);
    await eventually(list).toBe('ok');
    await machine.sh('dd if=/dev/zero of=/var/log/qmcp/full bs=4k 2>/dev/null || true');
    expect(await create()).toBe('failed');
    expect((await machine.run('qmcp-admin', 'check')).out).toMatch(/has 0 bytes of disk left/);
    await machine.sh('rm /var/log/qmcp/full');
    expect(await create()).toBe('ok');
    expect(await machine.sh('qmcp-admin audit verify')).toContain('intact');
    await machine.sh('systemctl stop qmcpd; umount /var/log/qmcp; systemctl start qmcpd');
    await eventually(list).toBe('ok');
  });

  test('check names a unit that is masked or down, a missing socket, and a folder that qmcpd cannot write', async () => {
    const check = async () => (await machine.run('qmcp-admin', 'check')).out.replace(/\s+/g, ' ');
    expect(await check()).not.toMatch(/qmcp[d-]\S*\.(service|socket|timer|path)/);
    await machine.sh(
      'systemctl mask --now qmcp-reap.timer; systemctl stop qmcpd.socket qmcpd; chmod 0750 /var/log/qmcp',
    );
    const found = await check();
    for (const problem of [
      'is masked',
      'does not run (inactive',
      'is no socket',
      'cannot be written by qmcpd',
    ])
      expect(found).toContain(problem);
    await machine.sh(
      'chmod 1770 /var/log/qmcp; systemctl unmask qmcp-reap.timer; systemctl start qmcp-reap.timer qmcpd.socket qmcpd',
    );
    await eventually(list).toBe('ok');
  });
});

describe('upgrades', () => {
  test('an upgrade and a downgrade go through, and calls are answered after each', async () => {
    for (const [which, version] of [
      [newer, '0.2.0'],
      [bundle, '0.1.0'],
    ] as const) {
      expect(await installing(which)).toMatchObject({ code: 0, err: '' });
      expect(await machine.sh(`cat /${HOME}/version.json`)).toContain(`"${version}"`);
      expect(await list()).toBe('ok');
    }
  });

  test('an upgrade that cannot start is undone, says what qmcpd said, and the old version answers', async () => {
    const broken = rebundled(newer, {
      [`${HOME}/qmcpd/__main__.py`]: 'raise SystemExit("qmcpd: the new version is broken")\n',
    });
    const { code, out, err } = await installing(broken);
    expect(out + err).toContain('the new version is broken');
    expect(out).toContain('the unfinished change was undone');
    expect(code).toBe(1);
    expect(await machine.sh(`cat /${HOME}/version.json`)).toContain('"0.1.0"');
    await eventually(list).toBe('ok');
  });

  test('a power cut during an upgrade leaves a machine that boots, and recover makes it work', async () => {
    machine.write('root/newer.tar', newer);
    for (const write of [4, 30, 60, 80]) {
      const cut = await machine.run(
        '/usr/bin/python3',
        '-B',
        '/opt/qmcp-checkout/test/packaging/killed.py',
        '/',
        '/root/newer.tar',
        'cut',
        String(write),
      );
      expect(cut.code, cut.err).toBe(137);
      await machine.powerCut();
      await machine.boot();
      expect(await machine.run('qmcp-dom0', 'recover')).toMatchObject({ code: 0 });
      await eventually(list).toBe('ok');
      expect(await machine.sh(`cat /${HOME}/version.json`)).toContain('"0.1.0"');
    }
    await machine.sh('rm /root/newer.tar');
  });
});

describe('uninstall', () => {
  test('a purge leaves nothing of qmcp: no file, no account, no unit, no stamp of a timer', async () => {
    expect(await machine.sh('ls /var/lib/systemd/timers')).toContain('stamp-qmcp-reap.timer');
    expect(await machine.run('qmcp-dom0', 'uninstall', '--purge', '--yes')).toMatchObject({ code: 0 });
    expect(await machine.sh(FILES)).toBe(before);
    expect(await machine.sh('systemctl list-units --all --plain --no-legend "qmcp*"')).toBe('');
  });
});
