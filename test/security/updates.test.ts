import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness, roomy } from '../support/harness.js';
import { eventually } from '../support/waiting.js';

const PROXY = 'qubes.UpdatesProxy';
const REQUEST = 'CONNECT mirror.example.org:443 HTTP/1.1\r\n\r\n';
const CONNECTED = 'HTTP/1.1 200 Connection established\r\n\r\n';

let harness: Harness;
const edit = (change: (text: string) => string) => {
  const path = join(harness.sim.root, 'etc/qmcp/qmcp.toml');
  writeFileSync(path, change(readFileSync(path, 'utf8')));
};
const admin = async (...words: string[]) => {
  const result = await harness.admin(...words, '--yes');
  expect(result).toMatchObject({ code: 0, err: '' });
  return result.out;
};
beforeEach(async () => {
  harness = await Harness.start({ prepare: roomy });
  edit((text) => text.replace('[world.ai]\n', '[world.ai]\nupdates = "sys-net"\n'));
  await admin('policy', 'install');
});
afterEach(() => harness.close());

const asked = async (source: string, target: string) =>
  (await harness.call(target, PROXY, REQUEST, source)).stdout;
const install = async () => {
  const { result } = await harness.done('package_install', { qube: 'ai-debian', packages: ['cowsay'] });
  return (result as { exit: number }).exit;
};

// INVARIANT policy.closed
// INVARIANT scope.existence-hidden
describe('updates', () => {
  it('updates reach a template with the tag for them through the proxy, and no other', async () => {
    await harness.done('qube_start', { qube: 'ai-debian' });
    expect(harness.qube('ai-debian')!.properties.netvm).toBe('');
    expect(await install()).toBe(100);
    const told = await admin('manage', 'ai-debian', '--updates', 'on');
    expect(told).toContain('it reaches any web server through sys-net, whatever the ceiling says');
    expect(await install()).toBe(0);
    expect((await harness.admin('check')).out).toContain('No problem was found');
    await admin('manage', 'ai-debian', '--updates', 'off');
    expect(await install()).toBe(100);
  });

  it('updates go to the one qube that qmcp.toml names, whatever name a template asks for', async () => {
    await admin('manage', 'ai-debian', '--updates', 'on');
    await harness.operator('admin.vm.Start', 'ai-debian');
    for (const target of [
      '@default',
      'sys-net',
      'sys-firewall',
      'work',
      'vault',
      'mcp-control',
      'no-such-qube',
    ])
      expect(await asked('ai-debian', target)).toBe(CONNECTED);
    expect(await asked('ai-debian', '@adminvm')).toBe('');
  });

  it('updates are closed for a principal, and for every other qube of the world', async () => {
    await harness.done('qube_spawn', { name: 'ai-one', template: 'ai-debian', start: true });
    await admin('manage', 'ai-debian', '--updates', 'on');
    for (const source of ['mcp-control', 'ai-one'])
      for (const target of ['@default', 'sys-net', 'no-such-qube'])
        expect(await asked(source, target)).toBe('');
  });

  it('updates do not stay open for a qube that is no template and has the tag', async () => {
    await harness.done('qube_spawn', { name: 'ai-one', template: 'ai-debian', start: true });
    expect((await harness.admin('manage', 'ai-one', '--updates', 'on', '--yes')).err).toContain(
      'ai-one cannot fetch updates: it is no template',
    );
    await harness.operator('admin.vm.tag.Set', 'ai-one', 'ai-updates');
    await eventually(() => harness.qube('ai-one')!.tags).not.toContain('ai-updates');
    expect(await asked('ai-one', '@default')).toBe('');
  });

  it('updates stop while the world is frozen', async () => {
    await admin('manage', 'ai-debian', '--updates', 'on');
    await harness.operator('admin.vm.Start', 'ai-debian');
    expect(await asked('ai-debian', '@default')).toBe(CONNECTED);
    await admin('freeze', 'ai');
    expect(await asked('ai-debian', '@default')).toBe('');
  });
});
