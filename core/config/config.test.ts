import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { pluginOf, serviceOf, toolOf } from '../../test/support/plugins.js';
import type { ServedTool } from '../serve/served.js';
import { DEFAULTS, PRESETS } from './defaults.js';
import { BadConfig, nearestName } from './fault.js';
import { resolveConfig, type Sources } from './resolve.js';
import { selectTools } from './select.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'qmcp-config-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const put = (name: string, text: string) => writeFileSync(join(directory, name), text);
const resolved = (changes: Partial<Sources> = {}) =>
  resolveConfig({ flags: {}, env: {}, directory, ...changes });
/** What it comes to, without where it came from. */
const said = async (changes: Partial<Sources> = {}) => {
  const { origins: _, ...config } = await resolved(changes);
  return config;
};
const complaint = async (changes: Partial<Sources> = {}): Promise<string> => {
  const error = await resolved(changes).catch((reason) => reason);
  expect(error).toBeInstanceOf(BadConfig);
  return error.message.replaceAll(directory, '.');
};

describe('configuration', () => {
  test('a configuration without any source has the default values', async () => {
    expect(await said()).toEqual({ ...DEFAULTS, file: undefined });
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
  ])('the configuration is found in %s', async (name, text) => {
    put(name, text);
    expect(await said()).toEqual({ ...DEFAULTS, readOnly: true, file: join(directory, name) });
  });

  test('for each key, a flag wins over the environment, the environment over the file, and the file over the default', async () => {
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

  test('a file given by name must exist, and no other file is read', async () => {
    put('qmcp.config.yaml', 'readOnly: true');
    put('other.toml', 'onRefusal = "skip"');
    expect(await resolved({ file: join(directory, 'other.toml') })).toMatchObject({
      readOnly: false,
      onRefusal: 'skip',
    });
    expect(await complaint({ file: join(directory, 'none.yaml') })).toBe('./none.yaml: no such file');
  });

  test('relative paths in a file are relative to the folder of that file', async () => {
    put('qmcp.config.yaml', 'plugins: [./mine.js, inspect]');
    expect((await resolved()).plugins).toEqual([join(directory, 'mine.js'), 'inspect']);
  });

  test('one error names every fault of a configuration', async () => {
    put('qmcp.config.json', '{"readOnly":1,"onRefusal":2}');
    expect((await complaint()).split('\n')).toHaveLength(2);
  });

  test('an unknown QMCP_ variable is an error', async () => {
    expect(await complaint({ env: { QMCP_READONLY: '1' } })).toContain(
      'QMCP_READONLY is not a variable of qmcp; did you mean "QMCP_READ_ONLY"?',
    );
    expect(await complaint({ env: { QMCP_READ_ONLY: 'yes' } })).toBe(
      'environment: QMCP_READ_ONLY: readOnly: expected true or false, not "yes"',
    );
  });

  test('no file in the working directory is executed as configuration', async () => {
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
      expect(await said()).toEqual({ ...DEFAULTS, file: undefined });
      expect(await complaint({ file: join(directory, 'qmcp.config.js') })).toContain('qmcp.config.js');
    } finally {
      process.chdir(before);
    }
    expect(globalThis).not.toHaveProperty('exploded');
  });

  test('the configuration is not looked for in the folders above', async () => {
    put('qmcp.config.yaml', 'readOnly: true');
    mkdirSync(join(directory, 'below'));
    expect((await resolved({ directory: join(directory, 'below') })).readOnly).toBe(false);
  });
});

describe('origin of a value', () => {
  const origin = async (path: string, changes: Partial<Sources> = {}) =>
    (await resolved(changes)).origins.get(path)?.text.replace(directory, '.');

  test('the origin of a value is the last source that sets it: flag, environment, file with its line, preset or default', async () => {
    put('qmcp.config.yaml', 'extends: [audit, ./team.yaml]\nqrexec:\n  timeout: 7\n');
    put('team.yaml', 'onRefusal: skip\n');
    expect(await origin('readOnly')).toBe('preset audit');
    expect(await origin('onRefusal')).toBe('./team.yaml:1');
    expect(await origin('qrexec.timeout')).toBe('./qmcp.config.yaml:3');
    expect(await origin('qrexec.client')).toBe('default');
    const env = { QMCP_READ_ONLY: 'false' };
    expect(await origin('readOnly', { env })).toBe('QMCP_READ_ONLY');
    expect(await origin('readOnly', { env, flags: { readOnly: true } })).toBe('--read-only');
  });

  test('the source that names a preset wins over it: a file over its preset, a preset from a flag over the file', async () => {
    put('qmcp.config.yaml', 'extends: read-only\nreadOnly: false\n');
    expect(await resolved()).toMatchObject({ readOnly: false });
    expect(await resolved({ flags: { extends: ['audit'] } })).toMatchObject({ readOnly: true });
  });

  test('of several presets, the last one wins for each key', async () => {
    put('qmcp.config.yaml', 'extends: [audit, developer]\n');
    expect(await resolved()).toMatchObject({
      readOnly: true,
      plugins: ['inspect', 'spawn', 'exec', 'events', 'storage'],
    });
  });
});

test('the suggested name is a typing mistake away, or there is none', () => {
  expect(nearestName('readonly', ['plugins', 'readOnly'])).toBe('readOnly');
  expect(nearestName('plugin', ['plugins', 'readOnly'])).toBe('plugins');
  expect(nearestName('zebra', ['plugins', 'readOnly'])).toBeUndefined();
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
    selectTools(tools, { readOnly, tools: { include, exclude } }).map(({ tool }) => tool.name);

  test('without filters, every tool is served', () => {
    expect(left(false, ['*'], [])).toEqual(['qube_list', 'qube_spawn', 'exec_run']);
  });

  test('exclusion wins over inclusion, and patterns match whole names of tools', () => {
    expect(left(false, ['qube_*'], ['*_spawn'])).toEqual(['qube_list']);
    expect(left(false, ['qube'], [])).toEqual([]);
  });

  test('readOnly serves only tools with effect read', () => {
    expect(left(true, ['*'], [])).toEqual(['qube_list']);
  });
});

describe('every configuration', () => {
  const list = fc
    .array(fc.constantFrom(...DEFAULTS.plugins), { maxLength: 8 })
    .map((ids) => [...new Set(ids)]);
  const patterns = fc.array(
    fc
      .oneof(
        fc.constantFrom('*', '', 'qube_*', '*_list', '*_s*', 'exec_run', 'event_wait', '*e*'),
        fc.stringMatching(/^[a-z_*]{1,8}$/),
      )
      .map((text) => text || '*'),
    { maxLength: 4 },
  );
  const some = fc.record(
    {
      extends: fc.array(fc.constantFrom(...PRESETS), { maxLength: 3 }),
      plugins: list,
      readOnly: fc.boolean(),
      onRefusal: fc.constantFrom('exit' as const, 'skip' as const),
      tools: fc.record({ include: patterns, exclude: patterns }, { requiredKeys: [] }),
    },
    { requiredKeys: [] },
  );
  const all: ServedTool[] = BUILT_IN.flatMap(({ id, tools }) =>
    tools.map((tool) => ({ plugin: id, tool, call: async () => ({}) })),
  );
  const names = (tools: readonly ServedTool[]) => tools.map(({ tool }) => tool.name);

  test('a configuration only narrows: every tool served with it is also served without it', async () => {
    await fc.assert(
      fc.asyncProperty(some, some, some, async (file, env, flags) => {
        put('qmcp.config.json', JSON.stringify(file));
        const variables = {
          ...(env.readOnly !== undefined && { QMCP_READ_ONLY: String(env.readOnly) }),
          ...(env.plugins && { QMCP_PLUGINS: env.plugins.join() }),
          ...(env.tools?.exclude && { QMCP_TOOLS_EXCLUDE: env.tools.exclude.join() }),
        };
        const config = await resolved({ flags, env: variables });
        const plugins = all.filter(({ plugin }) => config.plugins.includes(plugin));
        const left = names(selectTools(plugins, config));
        expect(names(all)).toEqual(expect.arrayContaining(left));
        if (config.readOnly)
          for (const { tool } of all.filter(({ tool }) => left.includes(tool.name)))
            expect(tool.effect).toBe('read');
        const without = names(selectTools(plugins, { ...config, tools: { ...config.tools, exclude: [] } }));
        expect(without).toEqual(expect.arrayContaining(left));
      }),
      { numRuns: 300 },
    );
  });
});
