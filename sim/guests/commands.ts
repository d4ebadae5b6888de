/** The commands of a qube beyond the shell's: about itself, its jobs, and to reach other qubes. */
import {
  type CommandContext,
  type CustomCommand,
  defineCommand,
  type ExecResult,
  getCommandNames,
  getNetworkCommandNames,
  type IFileSystem,
} from 'just-bash';
import { USERS } from './accounts.js';
import { type CopyRequest, outcomeOf, pack } from './filecopy.js';
import { type Jobs, jobCommands } from './job-commands.js';
import type { GuestNetwork } from './outside.js';
import { aptGet } from './packages.js';
import { program } from './program.js';

export interface CommandSetup {
  readonly name: string;
  readonly user: string;
  readonly uid: number;
  readonly outside: GuestNetwork | undefined;
  readonly jobs: Jobs;
}

/** The names of all commands: each is a file in a guest, so that a path finds it. */
export function commandNames(): string[] {
  const nowhere = { name: '', user: '', uid: 0, outside: undefined, jobs: undefined as unknown as Jobs };
  const ours = [...commandsOf(nowhere), ...outward('', undefined as unknown as GuestNetwork)];
  return [...new Set([...getCommandNames(), ...getNetworkCommandNames(), ...ours.map(({ name }) => name)])];
}

export function commandsOf({ name, user, uid, outside, jobs }: CommandSetup): CustomCommand[] {
  return [
    says('whoami', `${user}\n`),
    says('hostname', `${name}\n`),
    defineCommand('env', async (words, { exportedEnv = {}, origCommand }) =>
      words.length > 0
        ? origCommand!(words)
        : done(
            Object.entries(exportedEnv)
              .map(([key, value]) => `${key}=${value}\n`)
              .join(''),
          ),
    ),
    defineCommand('yes', async (words) => done(`${words.join(' ') || 'y'}\n`.repeat(YES))),
    defineCommand('getent', getEntry),
    says(
      'df',
      'Filesystem     1K-blocks   Used Available Use% Mounted on\n/dev/xvda3      20971520 500000  20471520   3% /\n',
    ),
    says(
      'free',
      '               total        used        free\nMem:          400000      200000      200000\nSwap:        1048576           0     1048576\n',
    ),
    says('nproc', '2\n'),
    says('umask', '0022\n'),
    says('tty', 'not a tty\n', 1),
    defineCommand('uname', async (words) => uname(words, name)),
    defineCommand('id', async (words) => id(words, user)),
    defineCommand('mktemp', async (words, { fs }) => makeTemporary(words, fs)),
    defineCommand('printf', printBytes),
    program(),
    ...jobCommands(jobs),
    aptGet(
      uid,
      (destination) =>
        outside?.reachUpdates(name, destination) ?? { reached: true, address: '127.0.0.1', seen: name },
    ),
    ...(outside === undefined ? [] : outward(name, outside)),
  ];
}

const outward = (name: string, outside: GuestNetwork) => [clientVm(name, outside), copyToVm(name, outside)];

const says = (command: string, text: string, exitCode = 0) =>
  defineCommand(command, async () => ({ ...done(text), exitCode }));

/** Lines of `yes`, which a pipe takes whole here. */
const YES = 10_000;

async function getEntry([database, key]: string[], { fs }: CommandContext): Promise<ExecResult> {
  const path = `/etc/${database}`;
  if (!(await fs.exists(path))) return failed(1, `Unknown database: ${database}`);
  const lines = (await fs.readFile(path)).trimEnd().split('\n');
  const found = lines.filter(
    (line) => key === undefined || line.split(':').some((part, at) => at !== 1 && part === key),
  );
  return found.length === 0 ? { ...done(''), exitCode: 2 } : done(`${found.join('\n')}\n`);
}

const UNAME = {
  s: 'Linux',
  n: '',
  r: '6.12.59-1.qubes.fc41',
  v: '#1 SMP PREEMPT_DYNAMIC',
  m: 'x86_64',
  o: 'GNU/Linux',
};

function uname(words: readonly string[], name: string): ExecResult {
  const asked = words.join('').replaceAll('-', '') || 's';
  const parts = Object.entries({ ...UNAME, n: name }).filter(([key]) => asked === 'a' || asked.includes(key));
  return parts.length === 0
    ? failed(1, `uname: invalid option ${words[0]}`)
    : done(`${parts.map(([, value]) => value).join(' ')}\n`);
}

function id(words: readonly string[], self: string): ExecResult {
  const options = words
    .filter((word) => word.startsWith('-'))
    .join('')
    .replaceAll('-', '');
  const user = words.find((word) => !word.startsWith('-')) ?? self;
  const account = USERS[user];
  if (account === undefined) return failed(1, `id: '${user}': no such user`);
  const { uid } = account;
  if (/[ugG]/.test(options)) return done(`${options.includes('n') ? user : uid}\n`);
  return done(`uid=${uid}(${user}) gid=${uid}(${user}) groups=${uid}(${user})\n`);
}

async function makeTemporary(words: readonly string[], fs: IFileSystem): Promise<ExecResult> {
  for (;;) {
    const path = `/tmp/tmp.${Math.random().toString(36).slice(2, 12).padEnd(10, 'x')}`;
    if (await fs.exists(path)) continue;
    if (words.includes('-d')) await fs.mkdir(path);
    else await fs.writeFile(path, '');
    return done(`${path}\n`);
  }
}

/** The shell's own takes `\377` for a character. Given its words as bytes, it prints bytes. */
async function printBytes(words: string[], { origCommand }: CommandContext): Promise<ExecResult> {
  const result = await origCommand!(words.map((word) => Buffer.from(word, 'utf8').toString('latin1')));
  return { ...result, stdoutKind: 'bytes' };
}

/** `qrexec-client-vm TARGET SERVICE[+ARGUMENT]`, inside a qube. */
function clientVm(name: string, outside: GuestNetwork): CustomCommand {
  return defineCommand('qrexec-client-vm', async ([target, service], { stdin }) => {
    if (target === undefined || service === undefined)
      return failed(2, 'usage: qrexec-client-vm TARGET SERVICE');
    const result = await outside.call(name, target, service, Buffer.from(String(stdin), 'latin1'));
    return {
      stdout: Buffer.from(result.stdout).toString('latin1'),
      stderr: Buffer.from(result.stderr).toString('utf8'),
      exitCode: result.exit,
      stdoutKind: 'bytes' as const,
    };
  });
}

/** `qvm-copy-to-vm QUBE FILE...` */
function copyToVm(name: string, outside: GuestNetwork): CustomCommand {
  return defineCommand('qvm-copy-to-vm', async ([target, ...paths], { fs, cwd }) => {
    if (target === undefined || paths.length === 0) return failed(1, 'usage: qvm-copy-to-vm QUBE FILE...');
    const files: CopyRequest[] = [];
    for (const path of paths) {
      const from = fs.resolvePath(cwd, path);
      if (!(await fs.exists(from))) return failed(1, `qvm-copy-to-vm: ${path}: no such file`);
      await gather(fs, from, from.split('/').at(-1)!, files);
    }
    const { exit, stdout, stderr } = await outside.call(name, target, 'qubes.Filecopy', pack(files));
    if (exit !== 0) return failed(exit, Buffer.from(stderr).toString('utf8').trim());
    const errno = outcomeOf(stdout);
    return errno === 0 ? done('') : failed(1, `qvm-copy-to-vm: the other side refused (errno ${errno})`);
  });
}

async function gather(fs: IFileSystem, from: string, as: string, files: CopyRequest[]): Promise<void> {
  const { isDirectory, mode } = await fs.stat(from);
  if (!isDirectory) {
    files.push({ path: as, mode: mode & 0o777, data: await fs.readFileBuffer(from) });
    return;
  }
  files.push({ path: as, mode: mode & 0o777 });
  for (const name of await fs.readdir(from)) await gather(fs, `${from}/${name}`, `${as}/${name}`, files);
}

const done = (stdout: string): ExecResult => ({ stdout, stderr: '', exitCode: 0 });
const failed = (exitCode: number, why: string): ExecResult => ({ stdout: '', stderr: `${why}\n`, exitCode });
