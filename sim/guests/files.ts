/** `qmcp.exec.FileRead`, `FileWrite` and `FileList` for guests without processes. */
import type { IFileSystem } from 'just-bash';
import { LIMITS } from '../../core/api/generated/limits.js';
import { Type } from '../../core/vendor/typebox.js';
import type { ServiceCall } from './guest.js';
import type { MemoryGuest } from './memory-guest.js';
import { Errno, type Found, follow } from './paths.js';
import { accountOf, answer, conflict, Path, Refusal, User } from './protocol.js';

const At = Type.Optional(Type.Integer({ minimum: 0 }));
const octal = (mode: number): string => (mode & 0o7777).toString(8).padStart(4, '0');
const seconds = (time: Date): number => Math.floor(time.getTime() / 1000);

export function fileRead(guest: MemoryGuest, call: ServiceCall): Promise<number> {
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
      const { files, at } = placeOf(guest, user, path);
      const { isDirectory, isFile, mode, mtime } = await files.stat(at);
      if (!isFile) throw conflict(isDirectory ? 'is-a-directory' : 'not-a-file');
      const bytes = await files.readFileBuffer(at);
      send('O', bytes.subarray(offset, offset + length));
      const end = offset + length >= bytes.length;
      return {
        path: await files.realpath(at),
        size: bytes.length,
        end,
        mode: octal(mode),
        mtime: seconds(mtime),
      };
    },
  );
}

export function fileWrite(guest: MemoryGuest, call: ServiceCall): Promise<number> {
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
    const { files, at: asked } = placeOf(guest, user, path);
    const { path: real, found, missing } = await target(guest.fs, asked, parents);
    if (found) await files.canBeWritten(real);
    if (body.length !== size) throw new Refusal('invalid-request');
    if (missing !== undefined) await files.mkdir(missing, { recursive: true });
    const isSplice = append || offset !== undefined;
    const before = found && isSplice ? await guest.fs.readFileBuffer(real) : new Uint8Array();
    if (offset !== undefined && !found) throw conflict('no-such-file');
    if (offset !== undefined && offset > before.length) throw conflict('beyond-the-end');
    const at = offset ?? before.length;
    const after = Buffer.concat([before.subarray(0, at), body, before.subarray(at + body.length)]);
    // Replacing a file makes a new one beside it first.
    if (!isSplice) await files.requireFolder(real);
    await files.writeFile(real, after);
    await files.chmod(real, mode ? Number.parseInt(mode, 8) : (found?.mode ?? 0o644));
    return { path: real, size: after.length, mode: octal((await files.stat(real)).mode) };
  });
}

/** The file that a path leads to, which need not exist yet, and the directory that has to be made for it. */
async function target(
  fs: IFileSystem,
  path: string,
  parents = false,
): Promise<Found & { readonly missing?: string }> {
  try {
    return await follow(fs, '/', path);
  } catch (error) {
    if (!parents || !(error instanceof Errno) || error.code !== 'ENOENT') throw error;
    const slash = path.lastIndexOf('/');
    if (/^\.{0,2}$/.test(path.slice(slash + 1))) throw new Errno('EISDIR', path);
    const folder = await target(fs, path.slice(0, slash), true);
    return { path: `${folder.path}${path.slice(slash)}`, found: undefined, missing: folder.path };
  }
}

/** A path as its user gives it, and the files as that user has them. */
function placeOf(guest: MemoryGuest, user: string | undefined, path: string) {
  const { uid, home } = accountOf(user);
  return { files: guest.filesOf(uid), at: path.startsWith('/') ? path : `${home}/${path}` };
}

export function fileList(guest: MemoryGuest, call: ServiceCall): Promise<number> {
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
      const { files, at: asked } = placeOf(guest, user, path);
      const real = await files.realpath(asked);
      const names = (await files.readdir(asked)).sort((one, other) =>
        Buffer.compare(Buffer.from(one), Buffer.from(other)),
      );
      const lines: string[] = [];
      for (const name of names.slice(offset, offset + limit)) {
        const at = `${real.replace(/\/$/, '')}/${name}`;
        const { isDirectory, isSymbolicLink, size, mode, mtime } = await files.lstat(at);
        const type = isSymbolicLink ? 'link' : isDirectory ? 'directory' : 'file';
        const link = isSymbolicLink ? { target: await files.readlink(at) } : {};
        lines.push(
          `${JSON.stringify({ name, type, size, mode: octal(mode), mtime: seconds(mtime), ...link })}\n`,
        );
      }
      send('O', Buffer.from(lines.join('')));
      return { path: real, total: names.length };
    },
  );
}
