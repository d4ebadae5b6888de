import { readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { packageFile } from '../../sim/root.js';
import { qmcpAdmin } from '../../testing/operator.js';
import { run, runPython } from '../../testing/run.js';
import {
  bundleOfCheckout,
  Dom0,
  dom0With,
  filesOf,
  forgetInstalled,
  HOME,
  POLICY,
  rebundled,
  sha256,
  TOML,
  textOf,
} from './dom0.js';

const made: Dom0[] = [];
const fresh = (): Dom0 => {
  const dom0 = new Dom0();
  made.push(dom0);
  return dom0;
};
afterEach(() => {
  for (const dom0 of made.splice(0)) dom0.remove();
});

let bundle: Buffer;
beforeAll(async () => {
  bundle = await bundleOfCheckout();
});
afterAll(forgetInstalled);

const STATE_CONTRACT = 'etc/qmcp/contracts/qmcp.inspect.State.json';
const version = (changes: object): Record<string, string> => ({
  [`${HOME}/version.json`]: JSON.stringify({
    ...JSON.parse(textOf(bundle, `${HOME}/version.json`)),
    ...changes,
  }),
});

/** A dom0 with this bundle installed. */
async function installed(which = bundle): Promise<Dom0> {
  const dom0 = await dom0With(which);
  made.push(dom0);
  return dom0;
}

describe('install', () => {
  test('install puts every file of the bundle in its place, byte for byte, and makes only commands executable', async () => {
    const dom0 = await installed();
    const tree = dom0.tree();
    const commands = ['operator/qmcp-admin', 'packaging/qmcp-dom0', 'window/qmcp-window'].map(
      (file) => `${HOME}/${file}`,
    );
    for (const [path, data] of filesOf(bundle))
      expect(tree[path], path).toBe(`${commands.includes(path) ? 755 : 644} ${sha256(data)}`);
    expect((await run(join(dom0.root, 'usr/bin/qmcp-admin'), ['--help'])).code).toBe(0);
    expect((await run(join(dom0.root, 'usr/bin/qmcp-dom0'), ['--help'])).code).toBe(0);
    // GTK may be missing here.
    expect(tree['usr/bin/qmcp-window']).toBe('-> ../../usr/lib/qmcp/window/qmcp-window');
    expect(tree['usr/share/applications/qmcp-window.desktop']).toBeDefined();
  });

  test('install opens dom0 for the installed contracts and the catalog, by links to the one socket, and for nothing else', async () => {
    const dom0 = await installed();
    const links = Object.entries(dom0.tree()).filter(([path]) => path.startsWith('etc/qubes-rpc/qmcp.'));
    const services = readdirSync(packageFile('dom0/contracts'))
      .map((file) => JSON.parse(textOf(bundle, `etc/qmcp/contracts/${file}`)))
      .filter(({ route }) => route === 'dom0')
      .map(({ service }) => service);
    expect(services.length).toBeGreaterThan(20);
    expect(links.map(([path]) => path).sort()).toEqual(
      ['qmcp.Catalog', ...services].map((service) => `etc/qubes-rpc/${service}`).sort(),
    );
    expect(new Set(links.map(([, target]) => target))).toEqual(new Set(['-> ../../run/qmcp/qmcpd.sock']));
  });

  test('install generates the policy of these contracts and the operator’s worlds', async () => {
    const dom0 = fresh();
    dom0.write(TOML, textOf(bundle, `${HOME}/qmcp.toml`).replace('mcp-control', 'another-control'));
    expect(await dom0.install(bundle)).toMatchObject({ code: 0, err: '' });
    expect(dom0.read(POLICY)).toBe((await qmcpAdmin(dom0.root, 'policy', 'render')).out);
    expect(dom0.read(POLICY)).toContain('another-control');
  });

  test('a second install changes nothing and writes no file', async () => {
    const dom0 = await installed();
    const written = () =>
      Object.keys(dom0.tree()).map((path) => [
        path,
        statSync(join(dom0.root, path), { throwIfNoEntry: false })?.ino,
      ]);
    const before = { tree: dom0.tree(), written: written() };
    const again = await dom0.run('install', dom0.fetched(bundle));
    expect(again).toMatchObject({ code: 0, err: '' });
    expect(again.out).toContain('Nothing to change: this bundle is already installed.');
    expect({ tree: dom0.tree(), written: written() }).toEqual(before);
  });

  test('an uninstall and an install keep a frozen world frozen, in the policy too', async () => {
    const dom0 = await installed();
    const frozen = 'etc/qubes/policy.d/00-qmcp-frozen.policy';
    await qmcpAdmin(dom0.root, 'freeze', 'ai');
    const before = dom0.read(frozen);
    expect(before).toMatch(/^\* +\* mcp-control +@anyvm +deny$/m);
    expect((await dom0.run('uninstall', '--yes')).code).toBe(0);
    expect(await dom0.install(bundle)).toMatchObject({ code: 0, err: '' });
    expect(dom0.read(frozen)).toBe(before);
  });

  test('a second install restores missing files', async () => {
    const dom0 = await installed();
    const before = dom0.tree();
    rmSync(join(dom0.root, 'etc/qubes-rpc/qmcp.inspect.List'));
    rmSync(join(dom0.root, POLICY));
    expect(await dom0.install(bundle)).toMatchObject({ code: 0, err: '' });
    expect(dom0.tree()).toEqual(before);
  });

  test('install prints the commands that it does not run on a root other than /', async () => {
    const dom0 = fresh();
    const { out } = await dom0.install(bundle);
    expect(out.split('\n').filter((line) => line.includes('not run'))).toEqual([
      '  not run, because the root is not /: sync',
      '  not run, because the root is not /: systemd-sysusers /usr/lib/sysusers.d/qmcp.conf',
      '  not run, because the root is not /: systemd-tmpfiles --create /usr/lib/tmpfiles.d/qmcp.conf',
      '  not run, because the root is not /: systemctl daemon-reload',
      '  not run, because the root is not /: systemctl start qmcp-expire.timer qmcp-reap.timer qmcp-refresh.path qmcpd.service qmcpd.socket',
      '  not run, because the root is not /: sync',
    ]);
  });
});

describe('before anything changes, the operator', () => {
  test('before any change, the operator sees each new, changed and removed file, and each such contract in words', async () => {
    const dom0 = await installed();
    const contract = JSON.parse(textOf(bundle, STATE_CONTRACT));
    const other = rebundled(bundle, {
      [STATE_CONTRACT]: JSON.stringify({ ...contract, target: { capability: 'exec' } }),
      [`${HOME}/qmcpd/errors.py`]: `${textOf(bundle, `${HOME}/qmcpd/errors.py`)}# one more line\n`,
      [`${HOME}/qmcpd/more.py`]: 'x = 1\n',
      [`${HOME}/settings/subset.py`]: undefined,
    });
    const before = dom0.tree();
    const { code, out } = await dom0.run('install', dom0.fetched(other), '--diff');
    expect(code).toBe(1);
    expect(out).toContain(sha256(other));
    expect(out).toContain(`changed  ${HOME}/qmcpd/errors.py +1 -0`);
    expect(out).toContain('+# one more line');
    expect(out).toContain(`new      ${HOME}/qmcpd/more.py +1 -0`);
    expect(out).toContain(`removed  ${HOME}/settings/subset.py`);
    expect(out).toMatch(/^qmcp\.inspect\.State\n +belongs to the plugin inspect: read$/m);
    expect(out).toMatch(/^ +- is called on a qube that has at least the tier read$/m);
    expect(out).toMatch(/^ +\+ is called on a qube that has at least the tier exec$/m);
    expect(out).not.toContain('qmcp.inspect.List');
    expect(dom0.tree()).toEqual(before);
  });

  test('before any change, the operator sees the JSON of a contract that the installed version cannot put in words', async () => {
    const dom0 = await installed();
    const contract = JSON.parse(textOf(bundle, STATE_CONTRACT));
    const other = rebundled(bundle, {
      [STATE_CONTRACT]: JSON.stringify({ ...contract, steps: [{ do: 'teleport\u001b[2J', with: {} }] }),
    });
    const { code, out } = await dom0.run('install', dom0.fetched(other));
    expect(code).toBe(1);
    expect(out).toContain('The installed qmcp-admin cannot judge all of these contracts.');
    expect(out).toContain('"do":"teleport\\u001b[2J"');
  });

  test('before any change, the operator is asked, and any answer but yes changes nothing', async () => {
    const dom0 = fresh();
    const before = dom0.tree();
    const file = dom0.fetched(bundle);
    for (const words of [[], ['--yes'], ['--sha256', sha256(bundle)]]) {
      const { code, out } = await dom0.run('install', file, ...words);
      expect(code).toBe(1);
      expect(out).toContain('Not done: to agree, run it on a terminal or with --yes and --sha256.');
    }
    expect(dom0.tree()).toEqual(before);
  });

  test('before any change, the digest of the bundle is compared with the one that the operator gave', async () => {
    const dom0 = fresh();
    const before = dom0.tree();
    const other = rebundled(bundle, { [`${HOME}/qmcpd/errors.py`]: 'pass\n' });
    const { code, err } = await dom0.run('install', dom0.fetched(other), '--sha256', sha256(bundle), '--yes');
    expect(code).toBe(1);
    expect(err).toContain(sha256(other));
    expect(dom0.tree()).toEqual(before);
  });

  test('before the yes, the installed version judges an upgrade, and nothing of the new bundle runs', async () => {
    const dom0 = await installed();
    const mark = join(dom0.folder, 'was-run');
    const hostile = `#!/usr/bin/python3\nopen(${JSON.stringify(mark)}, "w").close()\n`;
    const contract = JSON.parse(textOf(bundle, STATE_CONTRACT));
    const other = rebundled(bundle, {
      [STATE_CONTRACT]: JSON.stringify({ ...contract, target: { capability: 'exec' } }),
      [`${HOME}/operator/qmcp-admin`]: hostile,
      [`${HOME}/packaging/bundle.py`]: hostile,
      [`${HOME}/packaging/qmcp-dom0`]: hostile,
      [`${HOME}/settings/contracts.py`]: hostile,
    });
    const before = dom0.tree();
    const { code, out } = await runPython([
      '-IB',
      join(dom0.root, 'usr/bin/qmcp-dom0'),
      '--root',
      dom0.root,
      'install',
      dom0.fetched(other),
    ]);
    expect(code).toBe(1);
    expect(out).toContain('according to the installed qmcp-admin');
    expect(out).toMatch(/^ +\+ is called on a qube that has at least the tier exec$/m);
    expect(readdirSync(dom0.folder)).not.toContain('was-run');
    expect(dom0.tree()).toEqual(before);
    // After a yes, the code would run, and would leave its mark.
    expect((await dom0.install(other)).code).toBe(0);
    expect(readdirSync(dom0.folder)).toContain('was-run');
  });
});

describe('an upgrade', () => {
  test('an upgrade removes what the new version no longer has, and keeps the previous policy', async () => {
    const extra = textOf(bundle, STATE_CONTRACT).replaceAll('qmcp.inspect.State', 'qmcp.inspect.Other');
    const older = rebundled(bundle, {
      'etc/qmcp/contracts/qmcp.inspect.Other.json': extra,
      [`${HOME}/qmcpd/old.py`]: 'x = 1\n',
      'usr/lib/systemd/system/qmcp-old.timer': '[Install]\nWantedBy=timers.target\n',
    });
    const dom0 = await installed(older);
    const policy = dom0.read(POLICY);
    expect(policy).toContain('qmcp.inspect.Other');
    expect(dom0.tree()).toHaveProperty(['usr/lib/systemd/system/timers.target.wants/qmcp-old.timer']);
    expect(await dom0.install(bundle)).toMatchObject({ code: 0, err: '' });
    expect(dom0.read(`${POLICY}.old`)).toBe(policy);
    rmSync(join(dom0.root, `${POLICY}.old`));
    expect(dom0.tree()).toEqual((await installed()).tree());
  });

  test('an upgrade keeps contracts from elsewhere, and their links', async () => {
    const dom0 = await installed();
    const contract = {
      ...JSON.parse(textOf(bundle, STATE_CONTRACT)),
      service: 'qmcp.other.See',
      plugin: 'other',
    };
    dom0.write('etc/qmcp/contracts/qmcp.other.See.json', JSON.stringify(contract));
    const other = rebundled(bundle, { [`${HOME}/qmcpd/more.py`]: 'x = 1\n' });
    expect(await dom0.install(other)).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(dom0.read('etc/qmcp/contracts/qmcp.other.See.json'))).toEqual(contract);
    expect(dom0.tree()['etc/qubes-rpc/qmcp.other.See']).toBe('-> ../../run/qmcp/qmcpd.sock');
    expect(dom0.read(POLICY)).toContain('# contract qmcp.other.See');
  });

  test('an upgrade to the same bundle leaves a contract that the operator installed, and its link; an uninstall closes it', async () => {
    const dom0 = await installed();
    const link = 'etc/qubes-rpc/qmcp.other.See';
    await dom0.operatorInstalls('qmcp.other.See', textOf(bundle, STATE_CONTRACT));
    const before = dom0.tree();
    expect(before).toHaveProperty([link], '-> ../../run/qmcp/qmcpd.sock');
    expect((await dom0.install(bundle)).out).toContain(
      'Nothing to change: this bundle is already installed.',
    );
    expect(dom0.tree()).toEqual(before);
    expect(await dom0.run('uninstall', '--yes')).toMatchObject({ code: 0, err: '' });
    expect(dom0.tree()).not.toHaveProperty([link]);
    expect(dom0.tree()).toHaveProperty(['etc/qmcp/contracts/qmcp.other.See.json']);
    expect(await dom0.install(bundle)).toMatchObject({ code: 0, err: '' });
    expect(dom0.tree()).toHaveProperty([link], '-> ../../run/qmcp/qmcpd.sock');
  });

  test('an upgrade with another version of a contract that the operator installed uses its own, in the policy too', async () => {
    const dom0 = await installed();
    await dom0.operatorInstalls('qmcp.other.See', textOf(bundle, STATE_CONTRACT));
    const path = 'etc/qmcp/contracts/qmcp.other.See.json';
    const newer = JSON.stringify({ ...JSON.parse(dom0.read(path)), target: { capability: 'full' } });
    expect(await dom0.install(rebundled(bundle, { [path]: newer }))).toMatchObject({ code: 0, err: '' });
    expect(dom0.read(path)).toBe(newer);
    expect(dom0.read(POLICY)).toBe((await qmcpAdmin(dom0.root, 'policy', 'render')).out);
    expect(dom0.tree()).toHaveProperty(['etc/qubes-rpc/qmcp.other.See'], '-> ../../run/qmcp/qmcpd.sock');
  });

  test('an upgrade leaves the operator’s qmcp.toml unchanged, and puts a changed default beside it once', async () => {
    const dom0 = await installed();
    const own = `# mine\n${dom0.read(TOML)}`;
    dom0.write(TOML, own);
    const shipped = `${textOf(bundle, `${HOME}/qmcp.toml`)}# more\n`;
    const { out } = await dom0.install(rebundled(bundle, { [`${HOME}/qmcp.toml`]: shipped }));
    expect(out).toContain('Your /etc/qmcp/qmcp.toml is unchanged');
    expect(dom0.read(TOML)).toBe(own);
    expect(dom0.read(`${TOML}.new`)).toBe(shipped);
    rmSync(join(dom0.root, `${TOML}.new`));
    await dom0.install(rebundled(bundle, { [`${HOME}/qmcp.toml`]: shipped, [`${HOME}/qmcpd/more.py`]: '' }));
    expect(dom0.tree()).not.toHaveProperty([`${TOML}.new`]);
  });
});

describe('refused installs, which change nothing', () => {
  const refused = async (dom0: Dom0, other: Buffer, words: RegExp) => {
    const before = dom0.tree();
    const { code, err } = await dom0.install(other);
    expect(err).toMatch(words);
    expect(code).toBe(1);
    expect(dom0.tree()).toEqual(before);
  };

  test('a version that cannot use the operator’s qmcp.toml is not installed, and the message names the key', async () => {
    const dom0 = fresh();
    dom0.write(
      TOML,
      textOf(bundle, `${HOME}/qmcp.toml`).replace('birth_ceiling = "full"', 'birth_ceiling = "all"'),
    );
    await refused(dom0, bundle, /etc\/qmcp\/qmcp\.toml.*birth_ceiling.*full/);
  });

  test('a version with a contract that it does not accept itself is not installed', async () => {
    const contract = textOf(bundle, STATE_CONTRACT).replace('"do": "read"', '"do": "anything"');
    await refused(
      await installed(),
      rebundled(bundle, { [STATE_CONTRACT]: contract }),
      /qmcp\.inspect\.State.*anything/,
    );
  });

  test('a version that cannot keep a contract from elsewhere is not installed', async () => {
    const dom0 = await installed();
    dom0.write('etc/qmcp/contracts/qmcp.other.See.json', '{}');
    await refused(dom0, rebundled(bundle, { [`${HOME}/qmcpd/more.py`]: '' }), /qmcp\.other\.See/);
  });

  test('an older version is not installed while effects of a newer one wait to be undone', async () => {
    const dom0 = await installed();
    dom0.write('var/lib/qmcp/journal/0123456789abcdef.intent', '{}');
    await refused(dom0, rebundled(bundle, version({ version: '0.0.9' })), /1 unfinished changes.*0\.1\.0/);
    await refused(
      dom0,
      rebundled(bundle, version({ version: '0.2.0', formats: { audit: 1, journal: 3, tombstone: 1 } })),
      /1 unfinished changes/,
    );
  });

  test('a version that does not read the files of the installed one is not installed', async () => {
    const newer = rebundled(
      bundle,
      version({ version: '0.2.0', formats: { audit: 2, journal: 2, tombstone: 1 } }),
    );
    await refused(await installed(newer), bundle, /0\.1\.0 cannot read the audit format of 0\.2\.0/);
  });

  test('nothing is installed on a root that is not dom0’s', async () => {
    const dom0 = fresh();
    rmSync(join(dom0.root, 'etc/qubes'), { recursive: true });
    await refused(dom0, bundle, /is not the root of a dom0/);
  });
});

describe('a downgrade', () => {
  test('a downgrade goes back to the previous version, and says why it may', async () => {
    const dom0 = await installed();
    const before = dom0.tree();
    const newer = rebundled(bundle, {
      ...version({ version: '0.10.0' }),
      [`${HOME}/qmcpd/more.py`]: 'x = 1\n',
      [`${HOME}/qmcpd/errors.py`]: `${textOf(bundle, `${HOME}/qmcpd/errors.py`)}# newer\n`,
    });
    expect(await dom0.install(newer)).toMatchObject({ code: 0, err: '' });
    const back = await dom0.install(bundle);
    expect(back).toMatchObject({ code: 0, err: '' });
    expect(back.out).toContain(
      'Downgrade from 0.10.0 to 0.1.0: the journal is empty, and the formats are the same.',
    );
    expect(dom0.tree()).toEqual(before);
  });
});

describe('uninstall', () => {
  test('uninstall leaves earlier files, the operator’s files and the records, and says so', async () => {
    const dom0 = fresh();
    const before = dom0.tree();
    await dom0.install(bundle);
    dom0.write('var/lib/qmcp/frozen/ai', '');
    dom0.write('var/log/qmcp/audit.log', 'a line\n');
    const { code, out } = await dom0.run('uninstall', '--yes');
    expect(code).toBe(0);
    expect(out).toContain('/etc/qmcp, /var/lib/qmcp, /var/log/qmcp');
    const after = Object.keys(dom0.tree()).filter((path) => !(path in before));
    expect(after).toEqual([
      'etc/qmcp',
      TOML,
      'var/lib/qmcp',
      'var/lib/qmcp/frozen',
      'var/lib/qmcp/frozen/ai',
      'var/log/qmcp',
      'var/log/qmcp/audit.log',
    ]);
    expect(dom0.tree()).toMatchObject(before);
  });

  test('uninstall with --purge leaves nothing', async () => {
    const dom0 = fresh();
    dom0.write('var/lib/systemd/timers/stamp-fstrim.timer', '');
    const before = dom0.tree();
    await dom0.install(bundle);
    dom0.write('var/log/qmcp/audit.log', 'a line\n');
    dom0.write('var/lib/systemd/timers/stamp-qmcp-reap.timer', '');
    dom0.write('run/qmcp/expired', '');
    expect(await dom0.run('uninstall', '--purge', '--yes')).toMatchObject({ code: 0, err: '' });
    expect(dom0.tree()).toEqual(before);
  });

  test('uninstall does nothing without a yes', async () => {
    const dom0 = await installed();
    const before = dom0.tree();
    expect((await dom0.run('uninstall')).code).toBe(1);
    expect(dom0.tree()).toEqual(before);
  });

  test('uninstall without an installation is an error', async () => {
    const dom0 = fresh();
    const before = dom0.tree();
    expect(await dom0.run('uninstall', '--yes')).toMatchObject({
      code: 1,
      err: 'qmcp-dom0: nothing is installed.\n',
    });
    expect(dom0.tree()).toEqual(before);
  });

  test('an install after an uninstall finds the operator’s qmcp.toml unchanged', async () => {
    const dom0 = await installed();
    dom0.write(TOML, `# mine\n${dom0.read(TOML)}`);
    const before = dom0.tree();
    await dom0.run('uninstall', '--yes');
    expect(await dom0.install(bundle)).toMatchObject({ code: 0, err: '' });
    expect(dom0.tree()[TOML]).toBe(before[TOML]);
    expect(dom0.tree()[POLICY]).toBe(before[POLICY]);
  });
});
