/** `qmcp.exec.FileRead`, `FileWrite` and `FileList` for guests without processes. Their files have no owners. */
import type { IFileSystem } from 'just-bash';
import { LIMITS } from '../../core/api/generated/limits.js';
import { Type } from '../../core/vendor/typebox.js';
import type { ServiceCall } from './guest.js';
import { accountOf, answer, conflict, Path, Refusal, User } from './protocol.js';

interface WithFiles {
  readonly fs: IFileSystem;
}

const At = Type.Optional(Type.Integer({ minimum: 0 }));
const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');
const seconds = (time: Date): number => Math.floor(time.getTime() / 1000);

export function fileRead({ fs }: WithFiles, call: ServiceCall): Promise<number> {
  const shape = {
    path: Path,
    offset: At,
    length: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.page_bytes })),
    user: User,
  };
  return answer(
    call,
    shape,
    async ({ path, offset = 0, length = LIMITS.default_page_bytes, user }, _body, send) => {
      const real = await fs.realpath(fs.resolvePath(accountOf(user).home, path));
      const { isDirectory, isFile, mode, mtime } = await fs.stat(real);
      if (!isFile) throw conflict(isDirectory ? 'is-a-directory' : 'not-a-file');
      const bytes = await fs.readFileBuffer(real);
      send('O', bytes.subarray(offset, offset + length));
      const end = offset + length >= bytes.length;
      return {
        path: real,
        size: Math.max(bytes.length, offset),
        end,
        mode: octal(mode),
        mtime: seconds(mtime),
      };
    },
  );
}

export function fileWrite({ fs }: WithFiles, call: ServiceCall): Promise<number> {
  const shape = {
    path: Path,
    size: Type.Integer({ minimum: 0, maximum: LIMITS.write_bytes }),
    mode: Type.Optional(Type.String({ pattern: '^[0-7]{3,4}$' })),
    offset: At,
    append: Type.Optional(Type.Boolean()),
    parents: Type.Optional(Type.Boolean()),
    user: User,
  };
  return answer(call, shape, async ({ path, size, mode, offset, append, parents, user }, body) => {
    if (append && offset !== undefined) throw new Refusal('invalid-request');
    const real = await throughLinks(fs, fs.resolvePath(accountOf(user).home, path));
    const found = (await fs.exists(real)) ? await fs.stat(real) : undefined;
    if (found?.isDirectory) throw conflict('is-a-directory');
    const folder = real.slice(0, real.lastIndexOf('/')) || '/';
    if (parents) await fs.mkdir(folder, { recursive: true });
    if (!(await fs.stat(folder)).isDirectory) throw conflict('not-a-directory');
    if (body.length !== size) throw new Refusal('invalid-request');
    const before =
      found && (append || offset !== undefined) ? await fs.readFileBuffer(real) : new Uint8Array();
    if (offset !== undefined && !found) throw conflict('no-such-file');
    if (offset !== undefined && offset > before.length) throw conflict('beyond-the-end');
    const at = offset ?? before.length;
    const after = Buffer.concat([before.subarray(0, at), body, before.subarray(at + body.length)]);
    await fs.writeFile(real, after);
    await fs.chmod(real, mode ? Number.parseInt(mode, 8) : (found?.mode ?? 0o644));
    return { path: real, size: after.length, mode: octal((await fs.stat(real)).mode) };
  });
}

/** The file a path leads to; it need not exist yet. */
async function throughLinks(fs: IFileSystem, path: string): Promise<string> {
  if (await fs.exists(path)) return fs.realpath(path);
  const slash = path.lastIndexOf('/');
  const folder = path.slice(0, slash) || '/';
  return (await fs.exists(folder))
    ? `${(await fs.realpath(folder)).replace(/\/$/, '')}${path.slice(slash)}`
    : path;
}

export function fileList({ fs }: WithFiles, call: ServiceCall): Promise<number> {
  const shape = {
    path: Type.Optional(Path),
    offset: At,
    limit: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.list_entries })),
    user: User,
  };
  return answer(
    call,
    shape,
    async ({ path = '.', offset = 0, limit = LIMITS.default_list_entries, user }, _body, send) => {
      const real = await fs.realpath(fs.resolvePath(accountOf(user).home, path));
      if (!(await fs.stat(real)).isDirectory) throw conflict('not-a-directory');
      const names = (await fs.readdir(real)).sort((one, other) =>
        Buffer.compare(Buffer.from(one), Buffer.from(other)),
      );
      const lines: string[] = [];
      for (const name of names.slice(offset, offset + limit)) {
        const at = `${real.replace(/\/$/, '')}/${name}`;
        const { isDirectory, isSymbolicLink, size, mode, mtime } = await fs.lstat(at);
        const type = isSymbolicLink ? 'link' : isDirectory ? 'directory' : 'file';
        const link = isSymbolicLink ? { target: await fs.readlink(at) } : {};
        lines.push(
          `${JSON.stringify({ name, type, size, mode: octal(mode), mtime: seconds(mtime), ...link })}\n`,
        );
      }
      send('O', Buffer.from(lines.join('')));
      return { path: real, total: names.length };
    },
  );
}
