/** Attack 26: a description or an instruction that hides something, or that no person has reviewed. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { definePlugin } from '../../core/api/index.js';
import { BadConfig } from '../../core/config/fault.js';
import { resolveConfig } from '../../core/config/resolve.js';
import { load } from '../../core/main.js';
import type { Lock } from '../../core/pin/lock.js';
import { BUILT_IN } from '../../plugins/index.js';
import { catalogOf } from '../support/fake-host.js';
import { CatalogOnlyHost, QMCP, qmcp } from '../support/qmcp.js';

let host: CatalogOnlyHost;
let lockFile: string;
beforeEach(async () => {
  host = new CatalogOnlyHost(catalogOf(BUILT_IN));
  lockFile = join(host.folder, 'qmcp.lock.json');
  writeFileSync(join(host.folder, 'qmcp.config.yaml'), 'plugins: [inspect, storage]\n');
});
afterEach(() => host.remove());

const pin = (...more: string[]) => qmcp(['pin', '--client', host.client, ...more], { cwd: host.folder });
const lock = () => JSON.parse(readFileSync(lockFile, 'utf8')) as Lock;
/** As if a person had reviewed another text. */
function reviewedWas(change: (lock: Lock) => void): void {
  const changed = lock();
  change(changed);
  writeFileSync(lockFile, JSON.stringify(changed));
}
async function loaded() {
  const flags = { qrexec: { client: host.client } };
  const { tools, dispose } = await load(await resolveConfig({ flags, env: {}, directory: host.folder }));
  await dispose();
  return tools.map(({ tool }) => tool.name);
}
const ALL = ['qube_list', 'qube_state', 'qube_set', 'qube_feature_set', 'budget_get', 'volume_grow'];
const without = (...names: string[]) => ALL.filter((name) => !names.includes(name));

describe('pinned texts', () => {
  test('a pinned text is served while it is unchanged, and a changed one only after a person has reviewed it', async () => {
    expect(await pin()).toMatchObject({ code: 0, stdout: expect.stringMatching(/2 plugins, 6 tools/) });
    expect(await loaded()).toEqual(ALL);
    expect((await pin()).stdout).toContain('everything matches the last review');

    reviewedWas(({ plugins }) => {
      plugins.inspect!.tools.qube_set!.description = 'Sets a label.\u202e';
    });
    expect(await loaded()).toEqual(without('qube_set'));
    const pinned = readFileSync(lockFile, 'utf8');
    const told = await pin();
    expect(told.code).toBe(1);
    expect(told.stdout).toContain('* tool qube_set of plugin inspect: changed description\n');
    expect(told.stdout).toContain('qmcp pin --review');

    const shown = await pin('--review');
    expect(shown.code).toBe(1);
    expect(shown.stdout).toMatch(/^ {4}- {2}"description": "Sets a label\.\\u\{202e\}",$/m);
    expect(shown.stdout).toMatch(/^ {4}\+ {2}"description": "Sets properties of a halted qube/m);
    expect(readFileSync(lockFile, 'utf8')).toBe(pinned);
    expect(await loaded()).toEqual(without('qube_set'));

    expect((await pin('--review', '--yes')).code).toBe(0);
    expect(await loaded()).toEqual(ALL);
  });

  test.each<[string, (lock: Lock) => void, string[]]>([
    [
      'a schema',
      ({ plugins }) => Object.assign(plugins.storage!.tools.volume_grow!, { input: {} }),
      ['volume_grow'],
    ],
    [
      'an effect',
      ({ plugins }) => Object.assign(plugins.storage!.tools.volume_grow!, { effect: 'read' }),
      ['volume_grow'],
    ],
    ['a new tool', ({ plugins }) => delete plugins.inspect!.tools.qube_state, ['qube_state']],
    [
      'another version',
      ({ plugins }) => Object.assign(plugins.storage!, { version: '0.0.9' }),
      ['budget_get', 'volume_grow'],
    ],
    ['a new plugin', ({ plugins }) => delete plugins.storage, ['budget_get', 'volume_grow']],
    ['a tool that is gone', ({ plugins }) => Object.assign(plugins.inspect!.tools, { qube_fly: {} }), []],
  ])('a text that was never reviewed is not served: %s', async (_what, change, out) => {
    await pin();
    reviewedWas(change);
    expect(await loaded()).toEqual(without(...out));
  });

  test('instructions that nobody reviewed are withheld', async () => {
    await pin();
    const instructions = async () => {
      const client = new Client({ name: 'test', version: '0' });
      const args = [QMCP, 'serve', '--client', host.client];
      await client.connect(
        new StdioClientTransport({ command: process.execPath, args, cwd: host.folder, stderr: 'ignore' }),
      );
      const text = client.getInstructions();
      await client.close();
      return text;
    };
    expect(await instructions()).toContain('bounded set of qubes');
    reviewedWas((lock) => Object.assign(lock, { instructions: 'You work with qubes.' }));
    expect(await instructions()).toBeUndefined();
    await pin('--review', '--yes');
    expect(await instructions()).toContain('qube_list shows');
    reviewedWas(({ plugins }) => Object.assign(plugins.inspect!, { instructions: ['Another sentence.'] }));
    const left = await instructions();
    expect(left).toContain('bounded set of qubes');
    expect(left).not.toContain('qube_list');
  });

  test('a pin includes the code of a plugin in a file: another file is another version', async () => {
    const file = join(host.folder, 'theirs.mjs');
    const text = `export default { id: 'theirs', apiVersion: 1, title: 'Theirs', services: [], tools: [] };\n`;
    writeFileSync(file, text);
    writeFileSync(join(host.folder, 'qmcp.config.yaml'), 'plugins: [inspect, storage, ./theirs.mjs]\n');
    expect((await pin()).stdout).toContain('3 plugins');
    writeFileSync(file, `${text}// and more\n`);
    expect((await pin()).stdout).toMatch(/plugin theirs was sha256:[0-9a-f]{64} and is sha256:/);
  });

  test('a pin can be required: without the file, or with another one, nothing starts', async () => {
    writeFileSync(join(host.folder, 'qmcp.config.yaml'), 'pinned: true\nplugins: [inspect, storage]\n');
    await expect(loaded()).rejects.toThrow(
      /qmcp\.lock\.json: no such file, but .*qmcp\.config\.yaml:1 requires it/,
    );
    expect((await pin()).code).toBe(0);
    expect(await loaded()).toEqual(ALL);
    for (const text of ['', '{}', '{"format":2}', '[1]']) {
      writeFileSync(lockFile, text);
      await expect(loaded()).rejects.toThrow(BadConfig);
    }
  });
});

describe('hidden text', () => {
  test('a plugin whose texts hide characters is not loaded, whatever dom0 says', async () => {
    const file = join(host.folder, 'sly.mjs');
    const sly = definePlugin({ id: 'sly', apiVersion: 1, title: 'Sly\u200b', services: [], tools: [] });
    writeFileSync(file, `export default ${JSON.stringify(sly)};\n`);
    writeFileSync(join(host.folder, 'qmcp.config.yaml'), 'plugins: [inspect, ./sly.mjs]\n');
    await expect(loaded()).rejects.toThrow(
      /text-unseen: plugin "sly": its title contains the invisible character U\+200B/,
    );
  });
});
