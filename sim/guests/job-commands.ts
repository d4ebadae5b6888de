/** `&`, `wait`, `kill`, `ps` and `trap`: a shell's processes. */
import { type CommandContext, type CustomCommand, defineCommand, type ExecResult } from 'just-bash';
import type { End } from './process-table.js';
import { JOB, LAST_JOB, LEAVE, WAIT } from './rewrite.js';

/** The jobs of one shell, and what it does at signals. */
export interface Jobs {
  readonly pid: number;
  readonly traps: Map<string, string>;
  readonly children: number[];
  /** The shell's variables at its `exit`. */
  left: Record<string, string> | undefined;
  launch(line: string, context: CommandContext): Promise<number | null>;
  wait(pid: number): Promise<End['exit'] | null>;
  kill(pid: number, signal: string): Promise<boolean>;
  list(): Promise<readonly { readonly pid: number; readonly line: string }[]>;
}

const SIGNALS: Readonly<Record<string, string>> = {
  ...{
    0: '0',
    1: 'SIGHUP',
    2: 'SIGINT',
    3: 'SIGQUIT',
    9: 'SIGKILL',
    10: 'SIGUSR1',
    12: 'SIGUSR2',
    13: 'SIGPIPE',
  },
  ...{ 14: 'SIGALRM', 15: 'SIGTERM' },
};
const signalOf = (word: string): string | undefined => {
  const name = word.replace(/^SIG/, '').toUpperCase();
  return SIGNALS[word] ?? Object.values(SIGNALS).find((signal) => signal === `SIG${name}`);
};

const done = (stdout = ''): ExecResult => ({ stdout, stderr: '', exitCode: 0 });
const failed = (why: string, exitCode = 1): ExecResult => ({ stdout: '', stderr: `sh: ${why}\n`, exitCode });

export function jobCommands(jobs: Jobs): CustomCommand[] {
  return [
    defineCommand(JOB, async ([line = ''], context) => {
      const pid = await jobs.launch(`(exit ${context.env.get('?') ?? 0}); ${line}`, context);
      if (pid === null) return failed('Cannot fork', 2);
      jobs.children.push(pid);
      await context.assignShellVariable!(LAST_JOB, String(pid));
      return done();
    }),
    defineCommand(LEAVE, async (_words, context) => {
      jobs.left = variablesOf(context);
      return { ...done(), exitCode: Number(context.env.get('?') ?? 0) };
    }),
    defineCommand(WAIT, (pids) => wait(jobs, pids)),
    defineCommand('kill', (words, context) => kill(jobs, words, context)),
    defineCommand('trap', async (words) => trap(jobs, words)),
    defineCommand('ps', async (words) => {
      const rows = (await jobs.list()).map(({ pid, line }) => ({ pid: String(pid).padStart(7), line }));
      const isLong = words.some((word) => /^-?(aux|ef|e|A)$/.test(word));
      const head = isLong ? 'USER         PID COMMAND\n' : '    PID TTY          TIME CMD\n';
      const text = rows.map(({ pid, line }) =>
        isLong ? `user     ${pid} sh -c ${line}\n` : `${pid} ?        00:00:00 sh\n`,
      );
      return done(head + text.join(''));
    }),
  ];
}

/** For one job, its exit code; for all, 0. */
async function wait(jobs: Jobs, pids: readonly string[]): Promise<ExecResult> {
  let exitCode = 0;
  for (const pid of pids.length > 0 ? pids.map(Number) : jobs.children)
    exitCode = (jobs.children.includes(pid) ? await jobs.wait(pid) : null) ?? 127;
  return { ...done(), exitCode: pids.length > 0 ? exitCode : 0 };
}

async function kill(jobs: Jobs, words: readonly string[], context: CommandContext): Promise<ExecResult> {
  const isNamed = words[0] === '-s';
  const asked = isNamed ? words[1] : words[0]?.startsWith('-') ? words[0].slice(1) : undefined;
  const signal = signalOf(asked ?? 'TERM');
  const pids = words.slice(isNamed ? 2 : asked === undefined ? 0 : 1);
  if (signal === undefined) return failed(`kill: invalid signal: ${asked}`, 2);
  if (pids.length === 0) return failed('kill: usage: kill [-s SIGNAL | -SIGNAL] PID', 2);
  const output: ExecResult[] = [];
  for (const pid of pids.map(Number)) {
    const handler = pid === jobs.pid ? jobs.traps.get(signal) : undefined;
    if (handler !== undefined && signal !== 'SIGKILL') {
      if (handler !== '')
        output.push(await context.exec!(handler, { cwd: context.cwd, env: variablesOf(context) }));
    } else if (!(await jobs.kill(pid, signal))) return failed(`kill: (${pid}) - No such process`);
  }
  return {
    ...done(output.map(({ stdout }) => stdout).join('')),
    stderr: output.map(({ stderr }) => stderr).join(''),
  };
}

function trap({ traps }: Jobs, [action, ...signals]: readonly string[]): ExecResult {
  if (action === undefined || signals.length === 0) return done();
  for (const word of signals) {
    const signal = word === 'EXIT' || word === '0' ? 'EXIT' : signalOf(word);
    if (signal === undefined) return failed(`trap: ${word}: bad trap`);
    if (action === '-') traps.delete(signal);
    else traps.set(signal, action);
  }
  return done();
}

/** A shell's variables for another shell, which makes its own of the rest. */
export function variablesOf({ env }: { readonly env: ReadonlyMap<string, string> }): Record<string, string> {
  return Object.fromEntries(
    [...env].filter(
      ([key]) => /^[A-Za-z_]\w*$/.test(key) && !/^(SHELLOPTS|BASHOPTS|OPTIND|IFS|UID|EUID|PPID)$/.test(key),
    ),
  );
}
