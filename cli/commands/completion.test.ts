import { spawnSync } from 'node:child_process';
import { describe, expect, test, vi } from 'vitest';
import { program } from '../program.js';
import { completion, describeCommands } from './completion.js';

function script(shell: 'bash' | 'zsh' | 'fish'): string {
  const write = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  try {
    completion(shell, program());
    return write.mock.calls.map(([text]) => String(text)).join('');
  } finally {
    write.mockRestore();
  }
}

/** The words that bash offers when the last of these words is incomplete. */
function completionsFor(...words: string[]): string[] {
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
  test('completion in bash offers commands, options, the values of options, and the names of tools', () => {
    expect(completionsFor('qmcp', 'se')).toEqual(['serve']);
    expect(completionsFor('qmcp', 'serve', '--on')).toEqual(['--on-refusal']);
    expect(completionsFor('qmcp', 'serve', '--on-refusal', '')).toEqual(['exit', 'skip']);
    expect(completionsFor('qmcp', 'sim', 'ctl', '--d')).toEqual(['--dir']);
    expect(completionsFor('qmcp', 'completion', 'f')).toEqual(['fish']);
    expect(completionsFor('qmcp', 'call', 'qube')).toEqual(['qube_list']);
  });

  test.each(['bash', 'zsh', 'fish'] as const)(
    'the completion script for %s contains every command and option',
    (shell) => {
      const text = script(shell);
      for (const { commands, options } of describeCommands(program())) {
        for (const { name } of commands) expect(text).toContain(name);
        for (const { flag } of options)
          expect(text).toContain(shell === 'fish' ? `-l ${flag.slice(2)}` : flag);
      }
    },
  );
});

test('the description of every command starts in lower case, is shorter than 120 characters, and ends without a full stop', () => {
  for (const { commands } of describeCommands(program()))
    for (const { name, about } of commands) {
      expect([name, about]).toEqual([name, expect.stringMatching(/^[a-z][^\n]*[^.]$/)]);
      expect(about.length).toBeLessThan(120);
    }
});
