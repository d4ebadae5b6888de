/** Requests that only dom0 or a qube used to refuse, without a reason. */
import { describe, expect, test } from 'vitest';
import type { Plugin, Refused } from '../../core/api/index.js';
import { BUILT_IN } from '../../plugins/index.js';
import { toolsOf } from '../support/tools.js';

const pluginOf = (tool: string): Plugin =>
  BUILT_IN.find(({ tools }) => tools.some(({ name }) => name === tool))!;
const qube = 'ai-one';
const run = { qube, command: 'true' };
const file = { qube, path: 'f' };
const write = { ...file, content: '' };
const copy = { source: qube, target: 'ai-two', path: 'f' };
const rules = (...given: object[]) => ({ qube, rules: given });

describe('a request that no schema shows to be malformed', () => {
  test.each<[what: string, tool: string, input: object, at: string, problem: RegExp]>([
    ['an empty command', 'exec_run', { ...run, command: '' }, '/command', /fewer than 1/],
    ['a list without a program', 'exec_run', { ...run, command: [''] }, '/command/0', /name of a program/],
    ['a command with NUL', 'exec_run', { ...run, command: 'a\0b' }, '/command', /NUL/],
    ['a word of a command with NUL', 'exec_run', { ...run, command: ['a', 'b\0'] }, '/command/1', /NUL/],
    ['a command with half a character', 'exec_run', { ...run, command: 'a\ud800' }, '/command', /Unicode/],
    ['a command that is too long', 'exec_run', { ...run, command: 'x'.repeat(32_769) }, '/command', /32768/],
    [
      'words that are too long together',
      'exec_run',
      { ...run, command: ['x', 'y'.repeat(32_000), 'z'.repeat(32_768)], cwd: 'x'.repeat(4000) },
      '/command/2',
      /65536 are allowed/,
    ],
    [
      'a variable with = in its name',
      'exec_run',
      { ...run, env: { 'A=B': 'x' } },
      '/env/A=B',
      /name that matches/,
    ],
    ['a variable without a name', 'exec_run', { ...run, env: { '': 'x' } }, '/env/', /name that matches/],
    ['a variable with NUL', 'exec_run', { ...run, env: { A: '\0' } }, '/env/A', /NUL/],
    ['a directory with NUL', 'exec_run', { ...run, cwd: '/a\0' }, '/cwd', /NUL/],
    ['a user that is none', 'exec_run', { ...run, user: 'Root' }, '/user', /must match pattern/],
    [
      'too much input in the background',
      'exec_run',
      { ...run, background: true, stdin: 'x'.repeat(1_048_577) },
      '/stdin',
      /1048576 bytes in the background/,
    ],
    [
      'a command with NUL, before a disposable is made for it',
      'disposable_run',
      { template: 'ai-dvm', command: '\0' },
      '/command',
      /NUL/,
    ],
    ['no path', 'file_read', { ...file, path: '' }, '/path', /fewer than 1/],
    ['a path with NUL', 'file_read', { ...file, path: 'a\0' }, '/path', /NUL/],
    ['permissions in words', 'file_write', { ...write, mode: 'u+x' }, '/mode', /octal digits/],
    [
      'permissions as a program writes them',
      'file_write',
      { ...write, mode: '0o644' },
      '/mode',
      /octal digits/,
    ],
    ['two places to write to', 'file_write', { ...write, append: true, offset: 0 }, '/offset', /append/],
    [
      'content that is not base64',
      'file_write',
      { ...write, content: '%', encoding: 'base64' },
      '/content',
      /base64/,
    ],
    ['a list of a directory with NUL', 'file_list', { qube, path: '\0' }, '/path', /NUL/],
    ['a copy of everything', 'file_copy', { ...copy, path: '/home/..' }, '/path', /not \//],
    [
      'a package with a version',
      'package_install',
      { qube, packages: ['jq=1.6'] },
      '/packages/0',
      /must match pattern/,
    ],
    ['no package', 'package_install', { qube, packages: [] }, '/packages', /fewer than 1/],
    [
      'ports without a protocol',
      'egress_rules_set',
      rules({ to: '*' }, { to: '*', ports: '80' }),
      '/rules/1/ports',
      /tcp or udp/,
    ],
    [
      'ports of icmp',
      'egress_rules_set',
      rules({ to: '*', protocol: 'icmp', ports: '80' }),
      '/rules/0/ports',
      /tcp or udp/,
    ],
    [
      'a port that is none',
      'egress_rules_set',
      rules({ to: '*', protocol: 'tcp', ports: '0' }),
      '/rules/0/ports',
      /1 to 65535/,
    ],
    [
      'ports in the wrong order',
      'egress_rules_set',
      rules({ to: '*', protocol: 'tcp', ports: '9-8' }),
      '/rules/0/ports',
      /1 to 65535/,
    ],
    ['a URL as a host', 'egress_rules_set', rules({ to: 'https://example.org/' }), '/rules/0/to', /URL/],
    ['a pattern of hosts', 'egress_rules_set', rules({ to: '*.example.org' }), '/rules/0/to', /host name/],
    [
      'dns with a protocol',
      'egress_rules_set',
      rules({ to: 'dns', protocol: 'udp' }),
      '/rules/0/protocol',
      /absent if to is dns/,
    ],
    [
      'a URL as the host of a question',
      'egress_explain',
      { qube, host: 'http://example.org' },
      '/host',
      /URL/,
    ],
    [
      'a port of icmp',
      'egress_explain',
      { qube, host: '10.0.0.1', port: 1, protocol: 'icmp' },
      '/port',
      /icmp/,
    ],
    [
      'an unknown kind of event',
      'event_wait',
      { seconds: 1, kinds: ['born'] },
      '/kinds/0',
      /must be "appeared" or/,
    ],
    ['no property to set', 'qube_set', { qube, properties: {} }, '/properties', /fewer than 1/],
  ])(
    'is refused with its place and its rule, before any call: %s',
    async (_what, tool, input, at, problem) => {
      const tools = await toolsOf(pluginOf(tool), {});
      const refusal = (await tools.outcome(tool, input)) as Refused;
      expect(refusal).toMatchObject({
        code: 'invalid-request',
        data: { problems: expect.arrayContaining([{ at, problem: expect.stringMatching(problem) }]) },
      });
      expect(tools.calls()).toEqual([]);
    },
  );
});
