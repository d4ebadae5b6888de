/** A program by its path, as the kernel starts it: it needs the bit, and the interpreter that its first line names. */
import { type CommandContext, type CustomCommand, defineCommand, type ExecResult } from 'just-bash';
import { PROGRAM } from './rewrite.js';

const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const EXECUTABLE = 0o111;
const SHELLS = ['sh', 'bash', 'dash'];

export function program(): CustomCommand {
  return defineCommand(PROGRAM, async ([path = '', ...words], context) => {
    const { fs, cwd } = context;
    const cannot = (exitCode: number, why: string): ExecResult => ({
      ...{ exitCode, stdout: '', stderr: `sh: ${path}: ${why}\n` },
    });
    const at = fs.resolvePath(cwd, path);
    const found = await fs.stat(at).catch(() => undefined);
    if (found === undefined) return cannot(NOT_FOUND, 'not found');
    if (!found.isFile || (found.mode & EXECUTABLE) === 0) return cannot(NOT_EXECUTABLE, 'Permission denied');
    const [, interpreter, argument] = /^#! *(\S+)(?: +(\S.*?))? *$/.exec(await firstLine(context, at)) ?? [];
    if (interpreter !== undefined && !(await fs.exists(interpreter))) return cannot(NOT_FOUND, 'not found');
    const name = interpreter?.split('/').at(-1);
    const isOther = name !== undefined && !SHELLS.includes(name) && name !== 'env';
    const line = isOther ? [name, ...(argument ? [argument] : []), at, ...words] : [path, ...words];
    return context.exec!(line.map(quoted).join(' '), {
      cwd,
      stdin: String(context.stdin),
      stdinKind: 'bytes',
      env: context.exportedEnv ?? {},
    });
  });
}

async function firstLine({ fs }: CommandContext, path: string): Promise<string> {
  const [line = ''] = Buffer.from(await fs.readFileBuffer(path))
    .toString('latin1')
    .split('\n', 1);
  return line;
}

export const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
