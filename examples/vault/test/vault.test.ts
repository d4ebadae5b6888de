import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { contractFiles, type GuestProgram, program, type SimulatedHost, simulatedHost } from 'qmcp/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import plugin from '../src/index.js';

const script = fileURLToPath(new URL('../guest/qmcp_vault.py', import.meta.url));
/** The program that ships, on the folder that stands for what a qube keeps. */
const vault = (verb: string): GuestProgram => program(['python3', '-I', '-B', script, verb, 'keys']);
const guests = {
  'qmcp.vault.Keys': vault('keys'),
  'qmcp.vault.Sign': vault('sign'),
  'qmcp.vault.Verify': vault('verify'),
};
const keygen = (...words: string[]) => execFileSync('ssh-keygen', words, { encoding: 'utf8', input: '' });

/** What the person whose vault it is does: enrols it at the least tier, makes a key in it, starts it. */
async function openVault(host: SimulatedHost): Promise<string> {
  const keys = join(host.folder('vault'), 'keys');
  mkdirSync(keys);
  keygen('-q', '-t', 'ed25519', '-N', '', '-C', 'release', '-f', join(keys, 'release'));
  writeFileSync(join(keys, 'release.namespaces'), 'qmcp\nfile\n');
  const enrolled = await host.admin('enroll', 'vault', '--world', 'ai', '--tier', 'read', '--yes');
  if (enrolled.code !== 0) throw new Error(enrolled.err);
  await host.operate('power', 'start', 'vault');
  return keys;
}

const request = { qube: 'vault', key: 'release', message: 'qmcp 0.1.0, as released\n' };

describe('a vault', () => {
  let host: SimulatedHost;
  let keys: string;
  beforeAll(async () => {
    host = await simulatedHost({ plugins: [plugin], guests });
    keys = await openVault(host);
  });
  afterAll(() => host?.close());

  test('signs, and anybody with the public key can tell', async () => {
    const { signature } = await host.upholding(() => host.call('vault_sign', request));
    const folder = mkdtempSync(join(tmpdir(), 'vault-'));
    try {
      const [{ public_key }] = (await host.call('vault_keys', { qube: 'vault' })).keys as [
        { public_key: string },
      ];
      writeFileSync(join(folder, 'signers'), `me ${public_key}\n`);
      writeFileSync(join(folder, 'signature'), signature as string);
      const check = (message: string) =>
        execFileSync(
          'ssh-keygen',
          [
            '-Y',
            'verify',
            '-f',
            join(folder, 'signers'),
            '-I',
            'me',
            '-n',
            'qmcp',
            '-s',
            join(folder, 'signature'),
          ],
          { input: message, stdio: ['pipe', 'pipe', 'ignore'] },
        );
      expect(check(request.message).toString()).toContain('Good "qmcp" signature');
      expect(() => check('qmcp 0.1.0, as altered\n')).toThrow();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('tells a signature of its own from every other', async () => {
    const { signature } = await host.call('vault_sign', request);
    const verified = async (changes: object) =>
      (await host.call('vault_verify', { ...request, signature, ...changes })).valid;
    expect(await verified({})).toBe(true);
    for (const changes of [
      { message: 'other' },
      { namespace: 'file' },
      { signature: 'none' },
      { signature: '' },
    ])
      expect(await verified(changes)).toBe(false);
  });

  test('writes down what it signed, for whom, before it does', async () => {
    const before = readFileSync(join(keys, 'signed.log'), 'utf8').split('\n').length;
    await host.call('vault_sign', { ...request, namespace: 'file' });
    const log = readFileSync(join(keys, 'signed.log'), 'utf8').split('\n');
    expect(log).toHaveLength(before + 1);
    expect(log.at(-2)).toMatch(/^\d+ mcp-control release file sha256:[0-9a-f]{64}$/);
  });

  test('signs nothing it may not, and nothing that is no request', async () => {
    const log = readFileSync(join(keys, 'signed.log'), 'utf8');
    expect(await host.refusal('vault_sign', { ...request, namespace: 'git' })).toBe('not-permitted');
    expect(await host.refusal('vault_sign', { ...request, key: 'other' })).toBe('not-found');
    expect(await host.refusal('vault_sign', { ...request, key: '../release' })).toBe('invalid-request');
    expect(await host.refusal('vault_sign', { ...request, message: 'x'.repeat(32_769) })).toBe(
      'invalid-request',
    );
    expect(readFileSync(join(keys, 'signed.log'), 'utf8')).toBe(log);
  });

  test('is of no other use to an agent: it runs nothing there, stops nothing, and sees no private key', async () => {
    expect(
      await host.refusal('exec_run', { qube: 'vault', command: 'cat /rw/config/qmcp-vault/release' }),
    ).toBe('not-found');
    for (const tool of ['qube_shutdown', 'qube_kill', 'qube_remove', 'qube_start'])
      expect([tool, await host.refusal(tool, { qube: 'vault' })]).toEqual([tool, 'not-found']);
    expect(await host.call('qube_state', { qube: 'vault' })).toMatchObject({
      state: 'running',
      network: null,
    });
    const secret = readFileSync(join(keys, 'release'), 'utf8').split('\n')[2]!;
    const said = [
      await host.call('vault_keys', { qube: 'vault' }),
      await host.call('vault_sign', request),
      await (await host.connect()).call('vault_sign', request),
    ];
    expect(secret.length).toBeGreaterThan(40);
    expect(JSON.stringify(said)).not.toContain(secret);
  });

  test('cannot be told from nothing where it is not the agent’s', async () => {
    await host.hidesQubes('vault_sign', (qube) => ({ ...request, qube }));
  });

  test('that is not running is not started by a call', async () => {
    await host.operate('power', 'shutdown', 'vault');
    expect(await host.refusal('vault_sign', request)).toBe('not-found');
    expect(host.snapshot().qubes.find(({ name }) => name === 'vault')!.state).toBe('Halted');
  });
});

test('an operator brings it into dom0 step by step, and until the last of them it is refused', async () => {
  const host = await simulatedHost({ plugins: [plugin], guests, installed: false });
  const state = async () => {
    await host.load();
    return [...new Set(host.problems.map(({ code }) => code))];
  };
  try {
    await openVault(host);
    expect(await state()).toEqual(['service-missing']);
    expect(host.tools.filter((name) => name.startsWith('vault_'))).toEqual([]);

    const files = [...contractFiles(plugin).keys()].map((name) =>
      fileURLToPath(new URL(`../contracts/${name}`, import.meta.url)),
    );
    const review = await host.admin('contract', 'review', ...files);
    expect(review.out).toMatch(/qmcp\.vault\.Sign\n[^\n]*\n.*belongs to the plugin vault: write/);
    expect(review.out).toContain("runs inside that qube, as the qube's own user");
    expect(await host.admin('contract', 'install', '--yes', ...files)).toMatchObject({ code: 0 });
    expect(await state()).toEqual(['service-unusable']);

    expect(await host.admin('policy', 'install', '--yes')).toMatchObject({ code: 0 });
    expect(await state()).toEqual(['service-not-granted']);

    const toml = join(host.root, 'etc/qmcp/qmcp.toml');
    writeFileSync(toml, readFileSync(toml, 'utf8').replace(/^plugins = \[/m, 'plugins = ["vault", '));
    expect(await host.admin('policy', 'install', '--yes')).toMatchObject({ code: 0 });
    expect(await state()).toEqual([]);
    expect(await host.call('vault_sign', request)).toHaveProperty('signature');
    expect(await host.admin('check')).toMatchObject({ code: 0 });
  } finally {
    await host.close();
  }
});

test('every service has the entry that qrexec looks for in the template', () => {
  for (const { name } of plugin.services) {
    const entry = new URL(`../guest/qubes-rpc/${name}`, import.meta.url);
    expect(statSync(entry).mode & 0o111).toBe(0o111);
    expect(readFileSync(entry, 'utf8')).toMatch(new RegExp(` ${name.split('.')[2]!.toLowerCase()}\n$`));
  }
});

test('every service starts as root in the vault, because the policy starts it as the qube’s own user', () => {
  for (const { name } of plugin.services) {
    const config = new URL(`../guest/rpc-config/${name}`, import.meta.url);
    expect(readFileSync(config, 'utf8')).toMatch(/^force-user = 'root'$/m);
  }
});

test('the contracts an operator reviews are those of the services (npm run contracts writes them)', async () => {
  for (const [name, text] of contractFiles(plugin)) {
    expect(existsSync(new URL(`../contracts/${name}`, import.meta.url))).toBe(true);
    await expect(text).toMatchFileSnapshot(`../contracts/${name}`);
  }
});
