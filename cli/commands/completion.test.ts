import { spawnSync } from 'node:child_process';
import { describe, expect, test, vi } from 'vitest';
import { program } from '../program.js';
import { completion, known } from './completion.js';

function script(shell: 'bash' | 'zsh' | 'fish'): string {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    completion(shell, program());
    return write.mock.calls.map(([text]) => String(text)).join('');
  } finally {
    write.mockRestore();
  }
}

/** What bash offers after these words, the last of them begun. */
function offered(...words: string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(' ');
  const ask = `COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _qmcp; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync(
    'bash',
    ['-c', `qmcp() { echo qube_list; }\n${script('bash')}\n${ask}`],
    {
      encoding: 'utf8',
    },
  );
  expect(stderr).toBe('');
  return stdout.split('\n').filter(Boolean);
}

describe('completion', () => {
  test('in bash, knows commands, their options, what an option may be, and the tools there are', () => {
    expect(offered('qmcp', 'se')).toEqual(['serve']);
    expect(offered('qmcp', 'serve', '--on')).toEqual(['--on-refusal']);
    expect(offered('qmcp', 'serve', '--on-refusal', '')).toEqual(['exit', 'skip']);
    expect(offered('qmcp', 'sim', 'ctl', '--d')).toEqual(['--dir']);
    expect(offered('qmcp', 'completion', 'f')).toEqual(['fish']);
    expect(offered('qmcp', 'call', 'qube')).toEqual(['qube_list']);
  });

  test.each(['bash', 'zsh', 'fish'] as const)('in %s, has every command and option', (shell) => {
    const text = script(shell);
    for (const { commands, options } of known(program())) {
      for (const { name } of commands) expect(text).toContain(name);
      for (const { flag } of options) expect(text).toContain(shell === 'fish' ? `-l ${flag.slice(2)}` : flag);
    }
  });
});

test('what every command says of itself starts small, fits a line or two, and ends without a full stop', () => {
  for (const { commands } of known(program()))
    for (const { name, about } of commands) {
      expect([name, about]).toEqual([name, expect.stringMatching(/^[a-z][^\n]*[^.]$/)]);
      expect(about.length).toBeLessThan(120);
    }
});
