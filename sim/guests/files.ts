/** `qmcp.exec.FileRead`, `FileWrite` and `FileList` for guests without processes. Their files have no owners. */
import type { IFileSystem } from 'just-bash';
import { LIMITS } from '../../core/api/generated/limits.js';
import { Type } from '../../core/vendor/typebox.js';
import type { Account } from './accounts.js';
import type { ServiceCall } from './guest.js';
import { type Found, follow, followToEnd } from './paths.js';
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
      const account = accountOf(user);
      const { path: real, found } = await followToEnd(fs, account.home, path);
      const { isDirectory, isFile, mode, mtime } = found;
      if (isFile) requireBit(account, mode, 0o400);
      else throw conflict(isDirectory ? 'is-a-directory' : 'not-a-file');
      const bytes = await fs.readFileBuffer(real);
      send('O', bytes.subarray(offset, offset + length));
      const end = offset + length >= bytes.length;
      return {
        path: real,
        size: bytes.length,
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
    const account = accountOf(user);
    const { path: real, found, missing } = await target(fs, account.home, path, parents);
    if (found?.isDirectory) throw conflict('is-a-directory');
    if (found) requireBit(account, found.mode, 0o200);
    const isNew = !found || (!append && offset === undefined);
    if (isNew && missing === undefined)
      requireBit(account, (await fs.stat(real.slice(0, real.lastIndexOf('/')) || '/')).mode, 0o200);
    if (body.length !== size) throw new Refusal('invalid-request');
    if (parents && missing !== undefined) await fs.mkdir(missing, { recursive: true });
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

/** The file that a path leads to, which need not exist yet, and the directory that has to be made for it. */
async function target(
  fs: IFileSystem,
  home: string,
  path: string,
  parents = false,
): Promise<Found & { readonly missing?: string }> {
  try {
    return await follow(fs, home, path);
  } catch (error) {
    if (!parents || !(error instanceof Refusal) || error.problem !== 'no-such-file') throw error;
    const slash = path.lastIndexOf('/');
    if (/^\.{0,2}$/.test(path.slice(slash + 1))) throw conflict('is-a-directory');
    const folder = await target(fs, home, path.slice(0, slash), true);
    return { path: `${folder.path}${path.slice(slash)}`, found: undefined, missing: folder.path };
  }
}

/** Files in memory have no owners: everybody but root goes by the owner's bits. */
function requireBit({ uid }: Account, mode: number, bit: number): void {
  if (uid !== 0 && (mode & bit) === 0) throw conflict('access-denied');
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
      const { path: real, found } = await followToEnd(fs, accountOf(user).home, path);
      if (!found.isDirectory) throw conflict('not-a-directory');
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
