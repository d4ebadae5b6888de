import { spawnSync } from 'node:child_process';
import { openSync } from 'node:fs';
import { expect, test } from 'vitest';
import { result } from '../../cli/terminal/result.js';
import { packageFile } from '../../sim/root.js';
import { qmcpInProcess } from '../support/qmcp.js';

test('a line break in the name of a file makes no further row of a table', () => {
  const entries = [
    { name: 'a\nb', size: 1 },
    { name: 'c', size: 2 },
  ];
  const lines = result({ entries, names: ['x\ny'] }, { properties: {} }).split('\n');
  expect(lines).toHaveLength(6);
  expect(lines.join('\n')).toContain('a\\nb');
});

test('what is wrong with the words of a call is found before any host is called', async () => {
  for (const [words, message] of [
    [['qube_lst'], /no tool called "qube_lst" is served here; did you mean qube_list\?/],
    [
      ['qube_set', 'qube=ai-one', 'properties.memroy=1'],
      /properties\.memroy: unknown key; did you mean memory\?/,
    ],
    [['qube_set', 'qube=ai-one', 'properties.memory=much'], /\/properties\/memory must be integer/],
    [['qube_set', 'qube'], /expected key=value/],
    [['qube_set', '--input', '{'], /--input is not JSON/],
  ] as const) {
    const { code, stderr } = await qmcpInProcess(['call', '--client', '/no/such/client', ...words]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
    expect(stderr).not.toContain('/no/such/client');
  }
});

test('tools says why there are none, and exits with 1, if dom0 cannot be reached', async () => {
  const { code, stderr } = await qmcpInProcess(['tools', '--client', '/no/such/client']);
  expect(code).toBe(1);
  expect(stderr).toMatch(/dom0/);
});

test('output that cannot be written is a failure', () => {
  const main = packageFile('dist/cli/main.js');
  const full = spawnSync(process.execPath, [main, '--help'], {
    stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'],
  });
  expect([full.status, String(full.stderr)]).toEqual([
    1,
    expect.stringContaining('the output cannot be written'),
  ]);
});
