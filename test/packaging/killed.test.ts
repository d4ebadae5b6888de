/**
 * A power failure at any of the installer's writes: the result is the old version, the new one, or closed, and never a mixture.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packageFile } from '../../sim/root.js';
import { runPython } from '../../testing/run.js';
import {
  bundleOfCheckout,
  Dom0,
  dom0With,
  forgetInstalled,
  HOME,
  POLICY,
  rebundled,
  textOf,
} from './dom0.js';

/** Every write with QMCP_SWEEP=all; otherwise a share of them, to save time. */
const stride = (usual: number): string => (process.env.QMCP_SWEEP === 'all' ? '1' : String(usual));

let bundle: Buffer;
let older: Buffer;
let contract: string;
beforeAll(async () => {
  bundle = await bundleOfCheckout();
  contract = textOf(bundle, 'etc/qmcp/contracts/qmcp.inspect.State.json');
  older = rebundled(bundle, {
    'etc/qmcp/contracts/qmcp.inspect.Other.json': contract.replaceAll('inspect.State', 'inspect.Other'),
    'etc/qmcp/contracts/qmcp.storage.Grow.json': undefined,
    [`${HOME}/qmcpd/errors.py`]: `${textOf(bundle, `${HOME}/qmcpd/errors.py`)}# older\n`,
    [`${HOME}/qmcpd/old.py`]: 'x = 1\n',
    [`${HOME}/qmcp.toml`]: `${textOf(bundle, `${HOME}/qmcp.toml`)}# older\n`,
  });
});

afterAll(forgetInstalled);

interface Seen {
  readonly writes: number;
  readonly kills: number;
  readonly closed: number;
  readonly old: number;
  readonly new: number;
}

/** Kills the installer repeatedly in a dom0 that has `before` in it; returns the results. */
async function killed(before: Buffer | undefined, what: Buffer | 'uninstall', every: string): Promise<Seen> {
  const dom0 = before ? await dom0With(before) : new Dom0();
  try {
    if (before) await dom0.operatorInstalls('qmcp.other.See', contract);
    const words = [dom0.root, what === 'uninstall' ? what : dom0.fetched(what), every];
    const { code, out, err } = await runPython(['-B', packageFile('test/packaging/killed.py'), ...words]);
    expect({ code, err: err.split('\n').filter((line) => line.startsWith('killed.py')) }).toEqual({
      code: 0,
      err: [],
    });
    return JSON.parse(out);
  } finally {
    dom0.remove();
  }
}

describe('a power failure during an installation', () => {
  test('a power failure during a first install leaves dom0 closed or installed, and recover removes everything', async () => {
    const seen = await killed(undefined, bundle, stride(11));
    expect(seen.kills).toBe(Math.ceil(seen.writes / Number(stride(11))));
    expect(seen).toMatchObject({ old: 0 });
    expect(seen.closed).toBeGreaterThan(20);
    expect(seen.new).toBeGreaterThan(0);
  });

  test('a power failure during an upgrade leaves the old version, the new one, or dom0 closed, and recover restores the old one, file for file', async () => {
    const seen = await killed(older, bundle, stride(4));
    expect(seen.kills).toBe(Math.ceil(seen.writes / Number(stride(4))));
    expect(Math.min(seen.old, seen.closed, seen.new)).toBeGreaterThan(2);
  });

  test('a power failure during an uninstall leaves the old version, or dom0 closed with the policy in force until the rest is removed', async () => {
    const seen = await killed(bundle, 'uninstall', stride(5));
    expect(seen.kills).toBe(Math.ceil(seen.writes / Number(stride(5))));
    expect(seen).toMatchObject({ new: 0 });
    expect(Math.min(seen.old, seen.closed)).toBeGreaterThan(5);
  });

  test('an interrupted install is finished by the next one, and undone by recover', async () => {
    const cut = async (): Promise<Dom0> => {
      const dom0 = await dom0With(older);
      const words = [dom0.root, dom0.fetched(bundle), 'cut', '60'];
      expect((await runPython(['-B', packageFile('test/packaging/killed.py'), ...words])).code).toBe(137);
      return dom0;
    };
    const expected = await dom0With(older);
    const before = await dom0With(older);
    await expected.install(bundle);
    for (const [words, want] of [
      [[], expected],
      [['recover'], before],
    ] as const) {
      const dom0 = await cut();
      expect(dom0.tree()).not.toEqual(before.tree());
      const ran = words.length > 0 ? await dom0.run(...words) : await dom0.install(bundle);
      expect(ran).toMatchObject({ code: 0, err: '' });
      expect(ran.out).toContain('the unfinished change was undone');
      expect(dom0.tree()).toEqual(want.tree());
      dom0.remove();
    }
    expected.remove();
    before.remove();
  });
});

/** An install whose commands are recorded instead of run; one of them fails. */
async function failing(dom0: Dom0, which: number) {
  const words = [dom0.root, dom0.fetched(bundle), 'fail', String(which)];
  const ran = await runPython(['-B', packageFile('test/packaging/killed.py'), ...words]);
  const { code, commands } = JSON.parse(ran.out.trimEnd().split('\n').at(-1)!) as {
    code: number;
    commands: { words: string[]; open: boolean; policy: string }[];
  };
  return { code, commands };
}

describe('the commands of an upgrade', () => {
  test('an upgrade stops the service while dom0 is closed, starts it under the new policy, and then opens dom0', async () => {
    const dom0 = await dom0With(older);
    const before = dom0.tree()[POLICY]!.split(' ')[1]!;
    const { code, commands } = await failing(dom0, 0);
    const after = dom0.tree()[POLICY]!.split(' ')[1]!;
    expect(code).toBe(0);
    expect(after).not.toBe(before);
    expect(commands.every(({ open }) => !open)).toBe(true);
    expect(commands.map(({ words, policy }) => [words.slice(0, 2).join(' '), policy])).toEqual([
      ['systemctl stop', before],
      ['sync', before],
      ['systemd-sysusers /usr/lib/sysusers.d/qmcp.conf', after],
      ['systemd-tmpfiles --create', after],
      ['systemctl daemon-reload', after],
      ['systemctl start', after],
      ['sync', after],
    ]);
    dom0.remove();
  });

  test('an upgrade with a failing command prints what qmcpd said, restores everything and starts the old service', async () => {
    const dom0 = await dom0With(older);
    const before = dom0.tree();
    for (const which of [1, 4, 6]) {
      const { code, commands } = await failing(dom0, which);
      expect(code).toBe(1);
      const after = commands.slice(which).map(({ words, open }) => [words.slice(0, 2).join(' '), open]);
      expect(after).toEqual([
        ['journalctl -b', false],
        ['systemctl stop', false],
        ['systemctl daemon-reload', true],
        ['systemctl start', true],
        ['sync', true],
      ]);
      expect(dom0.tree()).toEqual(before);
    }
    dom0.remove();
  });
});
