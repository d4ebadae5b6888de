import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { qmcp } from '../test/support/qmcp.js';
import { NoPython, OLDEST_PYTHON, python } from './python.js';

const folder = mkdtempSync(join(tmpdir(), 'qmcp-python-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The interpreter of this run. */
const here = python();

/** Makes a folder for PATH with a program of this name; returns the program. */
function program(place: string, script: string, name = 'python3'): string {
  const path = join(folder, place, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** A version manager's `python3`: it records its start, and then starts the interpreter. */
function shim(place: string): { readonly bin: string; readonly starts: () => number } {
  const log = join(folder, `${place}.log`);
  writeFileSync(log, '');
  const path = program(place, `echo >> '${log}'\nexec '${here}' "$@"`);
  return { bin: dirname(path), starts: () => readFileSync(log, 'utf8').length };
}

const complaint = (env: Record<string, string>): string => {
  try {
    return `found ${python({ ...env })}`;
  } catch (error) {
    expect(error).toBeInstanceOf(NoPython);
    return (error as Error).message;
  }
};

describe('the interpreter', () => {
  test('the interpreter is the one behind the python3 in PATH, which runs once', () => {
    const { bin, starts } = shim('asked');
    const env: Record<string, string> = { PATH: bin };
    expect(python(env)).toBe(here);
    expect(python(env)).toBe(here);
    // The output of a process with this environment.
    expect(python({ ...env })).toBe(here);
    expect(starts()).toBe(1);
  });

  test('the interpreter is the one that QMCP_PYTHON names, whatever is in PATH', () => {
    const { bin, starts } = shim('not-asked');
    const link = join(folder, 'other-python');
    symlinkSync(here, link);
    expect(python({ PATH: bin, QMCP_PYTHON: link })).toBe(link);
    expect(starts()).toBe(0);
  });

  test('the interpreter is looked up again when a child gets another QMCP_PYTHON', () => {
    const env: Record<string, string> = { PATH: shim('changed').bin };
    python(env);
    expect(() => python({ ...env, QMCP_PYTHON: '/nowhere/python3' })).toThrow(NoPython);
  });

  test('the interpreter is looked up once for a command: the simulated host, its dom0 and its qrexec client', async () => {
    const { bin, starts } = shim('command');
    const { code, stdout } = await qmcp(['call', 'qube_list', '--host', 'sim'], {
      env: {
        PATH: `${bin}:${process.env.PATH}`,
        QMCP_PYTHON: undefined,
        _QMCP_PYTHON_ASKED: undefined,
      },
    });
    expect({ code, starts: starts() }).toEqual({ code: 0, starts: 1 });
    expect(stdout).toContain('ai-debian');
  });

  test('the interpreter may have a path that does not fit in the first line of a script', async () => {
    const place = join(folder, `it's ${'far '.repeat(50)}away`);
    mkdirSync(place);
    symlinkSync(here, join(place, 'interpreter'));
    const env = { QMCP_PYTHON: join(place, 'interpreter') };
    expect(await qmcp(['call', 'qube_list', '--host', 'sim'], { env })).toMatchObject({ code: 0 });
  });
});

describe('without a usable interpreter, a person is told where, why and what to run', () => {
  const install = `Install Python ${OLDEST_PYTHON} or later, or run this again with QMCP_PYTHON=/path/to/python3 before it.`;
  const choose = `Set QMCP_PYTHON to the path of a Python ${OLDEST_PYTHON} or later, or unset it to use the python3 in PATH.`;

  test.each([
    ['none in PATH', {}, `there is no python3 in PATH.\n${install}`],
    [
      'a python3 in PATH that starts nothing',
      { PATH: dirname(program('broken', 'echo "pyenv: python3: command not found" >&2; exit 127')) },
      `the python3 in PATH does not answer as Python does: pyenv: python3: command not found.\n${install}`,
    ],
    [
      'an old python3 in PATH',
      { PATH: dirname(program('old', 'echo /usr/bin/python3.10; echo 3.10.13')) },
      `the python3 in PATH is Python 3.10.13 (/usr/bin/python3.10); qmcp needs ${OLDEST_PYTHON} or later.\n${install}`,
    ],
    [
      'a QMCP_PYTHON that is not there',
      { QMCP_PYTHON: '/nowhere/python3' },
      `QMCP_PYTHON=/nowhere/python3 does not run (ENOENT).\n${choose}`,
    ],
    [
      'a QMCP_PYTHON that is not Python',
      { QMCP_PYTHON: program('silent', 'exit 0') },
      `/silent/python3 does not answer as Python does.\n${choose}`,
    ],
    [
      'a QMCP_PYTHON that is Python 2',
      { QMCP_PYTHON: program('two', 'echo /usr/bin/python2; echo 2.7.18', 'python2') },
      `is Python 2.7.18 (/usr/bin/python2); qmcp needs ${OLDEST_PYTHON} or later.\n${choose}`,
    ],
  ])('%s', (_case, env: Record<string, string>, expected) => {
    expect(complaint({ PATH: join(folder, 'empty'), ...env })).toContain(expected);
  });

  test('a command without an interpreter prints two lines and exits with 1', async () => {
    const { code, stderr } = await qmcp(['call', 'qube_list', '--host', 'sim'], {
      env: { QMCP_PYTHON: '/nowhere/python3' },
    });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `qmcp: QMCP_PYTHON=/nowhere/python3 does not run (ENOENT).\nqmcp: ${choose}\n`,
    });
  });
});
