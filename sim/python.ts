/**
 * The interpreter that stands for `/usr/bin/python3` of dom0 and of the qubes: the program that QMCP_PYTHON names, or else the
 * `python3` in PATH. A version manager's `python3` is a script that looks for the interpreter at every start, so it runs once to
 * find the interpreter. Child processes inherit the answer.
 */
import { spawn, spawnSync } from 'node:child_process';

/** The minimum version, that of dom0's own Python, which introduced `tomllib`. */
export const OLDEST_PYTHON = '3.11';

/** Names the program that an earlier process has run. Its name does not begin with QMCP_, because those are for people. */
const ASKED = '_QMCP_PYTHON_ASKED';
/** Seconds within which it must answer, on a busy machine. */
const PATIENCE = 60;
const QUESTION = 'import sys; print(sys.executable, "%d.%d.%d" % sys.version_info[:3], sep="\\n")';

type Environment = Record<string, string | undefined>;

export class NoPython extends Error {
  override readonly name = 'NoPython';
}

/** The path of the interpreter. Throws `NoPython` with advice. */
export function python(env: Environment = process.env): string {
  const chosen = env.QMCP_PYTHON || undefined;
  if (chosen !== undefined && env[ASKED] === chosen) return chosen;
  const found = ask(chosen, env);
  env.QMCP_PYTHON = found;
  env[ASKED] = found;
  return found;
}

/** Runs the program, or else the `python3` in PATH, to get the path of its interpreter. */
function ask(chosen: string | undefined, env: Environment): string {
  const fail = (what: string): NoPython => {
    const fix = chosen
      ? `Set QMCP_PYTHON to the path of a Python ${OLDEST_PYTHON} or later, or unset it to use the python3 in PATH.`
      : `Install Python ${OLDEST_PYTHON} or later, or run this again with QMCP_PYTHON=/path/to/python3 before it.`;
    return new NoPython(`${what}.\n${fix}`);
  };
  const where = chosen ? `QMCP_PYTHON=${chosen}` : 'the python3 in PATH';
  const options = { encoding: 'utf8', env: env as NodeJS.ProcessEnv, timeout: PATIENCE * 1000 } as const;
  const { error, status, stdout, stderr } = spawnSync(
    chosen ?? 'python3',
    ['-I', '-S', '-c', QUESTION],
    options,
  );
  if (error !== undefined) {
    const { code = error.message } = error as NodeJS.ErrnoException;
    throw fail(
      !chosen && code === 'ENOENT' ? 'there is no python3 in PATH' : `${where} does not run (${code})`,
    );
  }
  const [path = '', version = ''] = stdout.split('\n');
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (status !== 0 || !path.startsWith('/') || major === 0) {
    const [said] = stderr.trim().split('\n');
    throw fail(`${where} does not answer as Python does${said ? `: ${said}` : ''}`);
  }
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_PYTHON.split('.').map(Number);
  if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor))
    throw fail(`${where} is Python ${version} (${path}); qmcp needs ${OLDEST_PYTHON} or later`);
  return path;
}

type Stream = 'ignore' | 'pipe';

/** A running Python program: the part of a child process that is used here. */
export interface PythonProcess {
  readonly pid?: number | undefined;
  readonly exitCode: number | null;
  readonly signalCode: NodeJS.Signals | null;
  readonly stdin: NodeJS.WritableStream | null;
  readonly stdout: NodeJS.ReadableStream | null;
  readonly stderr: NodeJS.ReadableStream | null;
  kill(signal?: NodeJS.Signals): boolean;
  once(event: 'error', listener: (error: Error) => void): unknown;
  once(
    event: 'exit' | 'close',
    listener: (code: number | null, signal: NodeJS.Signals | null) => void,
  ): unknown;
}

/** Starts a Python program. `words` follow `python3` on the command line. */
export type StartPython = (
  words: readonly string[],
  options: {
    readonly cwd?: string;
    readonly stdio: readonly [stdin: Stream, stdout: Stream, stderr: Stream];
  },
) => PythonProcess;

let start: StartPython = (words, { cwd, stdio }) => spawn(python(), words, { cwd, stdio: [...stdio] });

export const startPython: StartPython = (words, options) => start(words, options);

/** Replaces the function that starts Python programs. Returns the previous one. */
export function startPythonWith(other: StartPython): StartPython {
  const before = start;
  start = other;
  return before;
}
