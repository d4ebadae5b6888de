/** The commands of a qube beyond the shell's: about itself, and to reach other qubes. */
import { type CustomCommand, defineCommand, type ExecResult, type IFileSystem } from 'just-bash';
import { type CopyRequest, outcomeOf, pack } from './filecopy.js';
import type { GuestNetwork } from './outside.js';
import { aptGet } from './packages.js';

interface CommandContext {
  readonly name: string;
  readonly user: string;
  readonly uid: number;
  readonly outside: GuestNetwork | undefined;
}

export function commandsOf({ name, user, uid, outside }: CommandContext): CustomCommand[] {
  const says = (command: string, text: string) => defineCommand(command, async () => done(`${text}\n`));
  return [
    says('whoami', user),
    says('id', `uid=${uid}(${user}) gid=${uid}(${user}) groups=${uid}(${user})`),
    says('hostname', name),
    aptGet(
      uid,
      (destination) =>
        outside?.reach(name, destination) ?? { reached: true, address: '127.0.0.1', seen: name },
    ),
    ...(outside === undefined ? [] : [clientVm(name, outside), copyToVm(name, outside)]),
  ];
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
