import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { pluginOf, serviceOf, toolOf } from '../../test/support/plugins.js';
import type { ServedTool } from '../api/served.js';
import { resolveConfig, type Sources } from './resolve.js';
import { DEFAULTS } from './schema.js';
import { selected } from './select.js';
import { BadConfig, nearest } from './validate.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'qmcp-config-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const put = (name: string, text: string) => writeFileSync(join(directory, name), text);
const resolved = (changes: Partial<Sources> = {}) =>
  resolveConfig({ flags: {}, env: {}, directory, ...changes });
const complaint = async (changes: Partial<Sources> = {}): Promise<string> => {
  const error = await resolved(changes).catch((reason) => reason);
  expect(error).toBeInstanceOf(BadConfig);
  return error.message.replaceAll(directory, '.');
};

describe('a configuration', () => {
  test('without any source is the default', async () => {
    expect(await resolved()).toEqual(DEFAULTS);
  });

  test.each([
    ['qmcp.config.yaml', 'readOnly: true'],
    ['qmcp.config.yml', 'readOnly: true'],
    ['qmcp.config.json', '{"readOnly":true}'],
    ['qmcp.config.toml', 'readOnly = true'],
    ['.qmcprc', 'readOnly: true'],
    ['.qmcprc.json', '{"readOnly":true}'],
    ['.qmcprc.yaml', 'readOnly: true'],
    ['package.json', '{"name":"x","qmcp":{"readOnly":true}}'],
  ])('is found in %s', async (name, text) => {
    put(name, text);
    expect(await resolved()).toEqual({ ...DEFAULTS, readOnly: true, file: join(directory, name) });
  });

  test('a flag wins over the environment, that over the file, that over the default, key by key', async () => {
    put('qmcp.config.yaml', 'onRefusal: skip\nplugins: [inspect]\nqrexec: { client: file, timeout: 7 }\n');
    const env = { QMCP_PLUGINS: 'inspect, spawn', QMCP_QREXEC_CLIENT: 'env', HOME: '/' };
    const flags = { qrexec: { client: 'flag' } };
    expect(await resolved({ env, flags })).toMatchObject({
      onRefusal: 'skip',
      plugins: ['inspect', 'spawn'],
      qrexec: { client: 'flag', timeout: 7 },
      readOnly: false,
    });
  });

  test('a given file is the only one looked at, and must be there', async () => {
    put('qmcp.config.yaml', 'readOnly: true');
    put('other.toml', 'onRefusal = "skip"');
    expect(await resolved({ file: join(directory, 'other.toml') })).toMatchObject({
      readOnly: false,
      onRefusal: 'skip',
    });
    expect(await complaint({ file: join(directory, 'none.yaml') })).toBe('./none.yaml: no such file');
  });

  test('sees relative paths from the folder of the file that says them', async () => {
    put('qmcp.config.yaml', 'plugins: [./mine.js, inspect]');
    expect((await resolved()).plugins).toEqual([join(directory, 'mine.js'), 'inspect']);
  });

  test.each([
    [
      'an unknown key',
      'onRefuse: exit',
      'qmcp.config.yaml: onRefuse: unknown key; did you mean "onRefusal"?',
    ],
    ['an unknown nested key', 'tools: { exlude: [] }', 'tools.exlude: unknown key; did you mean "exclude"?'],
    ['a key like nothing', 'zzz: 1', 'zzz: unknown key; expected one of $schema, plugins, onRefusal'],
    ['a wrong type', 'readOnly: "yes"', 'readOnly: must be boolean, not "yes"'],
    ['a value outside a set', 'onRefusal: ask', 'onRefusal: must be one of "exit", "skip", not "ask"'],
    ['a number out of range', 'qrexec: { timeout: 0 }', 'qrexec.timeout: must be >= 1, not 0'],
    ['a bad list entry', 'plugins: [inspect, 3]', 'plugins[1]: must be string, not 3'],
    ['a list for a whole', '- 1', 'the whole of it: must be object, not [1]'],
    ['broken YAML', 'a: [', 'qmcp.config.yaml'],
  ])('with %s fails with file, path and what was expected', async (_what, text, message) => {
    put('qmcp.config.yaml', text);
    const said = await complaint();
    expect(said).toContain(message);
    expect(said).toContain('./qmcp.config.yaml');
  });

  test('names every fault at once', async () => {
    put('qmcp.config.json', '{"readOnly":1,"onRefusal":2}');
    expect((await complaint()).split('\n')).toHaveLength(2);
  });

  test('a variable nobody reads is a fault, not silence', async () => {
    expect(await complaint({ env: { QMCP_READONLY: '1' } })).toContain(
      'QMCP_READONLY is not a variable of qmcp',
    );
    expect(await complaint({ env: { QMCP_READ_ONLY: 'yes' } })).toContain('readOnly: must be boolean');
  });

  test('is never executed, whatever lies around', async () => {
    mkdirSync(join(directory, '.config'));
    const bomb = 'globalThis.exploded = true; module.exports = { readOnly: true };';
    for (const name of [
      'qmcp.config.js',
      'qmcp.config.cjs',
      '.qmcprc.js',
      '.config/config.js',
      '.config/qmcprc.js',
    ])
      put(name, bomb);
    put('package.json', '{"cosmiconfig":{"searchPlaces":["qmcp.config.js"]}}');
    const before = process.cwd();
    process.chdir(directory);
    try {
      expect(await resolved()).toEqual(DEFAULTS);
      expect(await complaint({ file: join(directory, 'qmcp.config.js') })).toContain('qmcp.config.js');
    } finally {
      process.chdir(before);
    }
    expect(globalThis).not.toHaveProperty('exploded');
  });

  test('is not looked for in the folders above', async () => {
    put('qmcp.config.yaml', 'readOnly: true');
    mkdirSync(join(directory, 'below'));
    expect((await resolved({ directory: join(directory, 'below') })).readOnly).toBe(false);
  });
});

test('the nearest name is one a typing mistake away, or none', () => {
  expect(nearest('readonly', ['plugins', 'readOnly'])).toBe('readOnly');
  expect(nearest('plugin', ['plugins', 'readOnly'])).toBe('plugins');
  expect(nearest('zebra', ['plugins', 'readOnly'])).toBeUndefined();
});

describe('tool filters', () => {
  const service = serviceOf('a');
  const tools = (
    [
      ['qube_list', 'read'],
      ['qube_spawn', 'write'],
      ['exec_run', 'destroy'],
    ] as const
  ).map(
    ([name, effect]): ServedTool => ({
      plugin: pluginOf('a').id,
      tool: toolOf(name, service, { effect }),
      call: async () => ({}),
    }),
  );
  const left = (readOnly: boolean, include: string[], exclude: string[]) =>
    selected(tools, { readOnly, tools: { include, exclude } }).map(({ tool }) => tool.name);

  test('let everything through by default', () => {
    expect(left(false, ['*'], [])).toEqual(['qube_list', 'qube_spawn', 'exec_run']);
  });

  test('exclusion wins over inclusion, and patterns match whole names', () => {
    expect(left(false, ['qube_*'], ['*_spawn'])).toEqual(['qube_list']);
    expect(left(false, ['qube'], [])).toEqual([]);
  });

  test('readOnly leaves only reading tools', () => {
    expect(left(true, ['*'], [])).toEqual(['qube_list']);
  });
});
