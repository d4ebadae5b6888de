/**
 * The files of a guest as its commands see them: paths lead where Linux follows them, a file needs the directory that it is in, a
 * user needs a right, and a disk has an end. The file system in memory has none of these.
 */
import { randomBytes } from 'node:crypto';
import type { CpOptions, FileContent, IFileSystem, MkdirOptions, RmOptions } from 'just-bash';
import type { Disk } from './disk.js';
import { Errno, type Found, folderOf, follow, followToEnd } from './paths.js';

const READ = 0o400;
const WRITE = 0o200;
/** Files in memory have no owners. Everybody may write below these directories; anywhere else, only root. */
const EVERYBODYS = ['/home/user', '/tmp', '/var/tmp', '/dev'];
/** Only root may look into these. */
const ROOTS = ['/root'];

/** What a read of a device gives. Real ones give it without end. */
const AT_ONCE = 1 << 16;
const DEVICES: Readonly<Record<string, () => Uint8Array>> = {
  '/dev/null': () => new Uint8Array(),
  '/dev/zero': () => new Uint8Array(AT_ONCE),
  '/dev/full': () => new Uint8Array(AT_ONCE),
  '/dev/random': () => randomBytes(AT_ONCE),
  '/dev/urandom': () => randomBytes(AT_ONCE),
};

const isBelow = (path: string, folders: readonly string[]): boolean =>
  folders.some((folder) => path === folder || path.startsWith(`${folder}/`));

type Options = Parameters<IFileSystem['writeFile']>[2];

export class LinuxFiles {
  constructor(
    private readonly fs: IFileSystem,
    private readonly uid: number,
    private readonly disk: Disk,
  ) {}

  async exists(path: string): Promise<boolean> {
    return (await this.end(path).catch(() => undefined)) !== undefined;
  }

  async stat(path: string) {
    return (await this.end(path)).found;
  }

  async lstat(path: string) {
    return (await this.end(path, false)).found;
  }

  async readlink(path: string): Promise<string> {
    return this.fs.readlink((await this.end(path, false)).path);
  }

  async realpath(path: string): Promise<string> {
    return (await this.end(path)).path;
  }

  async readFile(path: string, options?: Parameters<IFileSystem['readFile']>[1]): Promise<string> {
    const device = DEVICES[path];
    if (device) return Buffer.from(device()).toString('latin1');
    return this.fs.readFile(await this.readable(path), options);
  }

  async readFileBytes(path: string) {
    const device = DEVICES[path];
    if (device) return Buffer.from(device()).toString('latin1') as never;
    return this.fs.readFileBytes!(await this.readable(path));
  }

  async readFileBuffer(path: string): Promise<Uint8Array> {
    const device = DEVICES[path];
    if (device) return device();
    return this.fs.readFileBuffer(await this.readable(path));
  }

  async readdir(path: string): Promise<string[]> {
    const { path: real, found } = await this.end(path);
    if (!found.isDirectory) throw new Errno('ENOTDIR', path);
    this.require(found.mode, READ, path);
    if (this.uid !== 0 && isBelow(real, ROOTS)) throw new Errno('EACCES', path);
    return this.fs.readdir(real);
  }

  async writeFile(path: string, content: FileContent, options?: Options): Promise<void> {
    if (path === '/dev/full' && content.length > 0) throw new Errno('ENOSPC', path);
    if (DEVICES[path]) return;
    const { path: real, found } = await this.writable(path);
    await this.disk.take(content.length - (found?.size ?? 0), path);
    await this.fs.writeFile(real, content, options);
  }

  async appendFile(path: string, content: FileContent, options?: Options): Promise<void> {
    if (path === '/dev/full' && content.length > 0) throw new Errno('ENOSPC', path);
    if (DEVICES[path]) return;
    const { path: real } = await this.writable(path);
    await this.disk.take(content.length, path);
    await this.fs.appendFile(real, content, options);
  }

  async mkdir(path: string, options: MkdirOptions = {}): Promise<void> {
    const bare = path.replace(/(?<=.)\/+$/, '');
    const found = await follow(this.fs, '/', bare).catch(async (error: unknown) => {
      if (!options.recursive || !(error instanceof Errno) || error.code !== 'ENOENT') throw error;
      await this.mkdir(folderOf(bare), options);
      return follow(this.fs, '/', bare);
    });
    if (found.found === undefined) {
      await this.requireFolder(found.path);
      await this.fs.mkdir(found.path);
    } else if (!options.recursive || !found.found.isDirectory) throw new Errno('EEXIST', path);
  }

  async rm(path: string, options?: RmOptions): Promise<void> {
    const found = await this.end(path, false).catch((error: unknown) => {
      if (!options?.force || !(error instanceof Errno) || error.code !== 'ENOENT') throw error;
      return undefined;
    });
    if (found === undefined) return;
    await this.requireFolder(found.path);
    const size = await this.disk.sizeOf(found.path);
    await this.fs.rm(found.path, options);
    await this.disk.take(-size, path);
  }

  async cp(from: string, to: string, options?: CpOptions): Promise<void> {
    const source = await this.end(from);
    const target = await this.writable(to);
    await this.disk.take(await this.disk.sizeOf(source.path), to);
    await this.fs.cp(source.path, target.path, options);
  }

  async mv(from: string, to: string): Promise<void> {
    const source = await this.end(from, false);
    const target = await follow(this.fs, '/', to, false);
    for (const { path } of [source, target]) await this.requireFolder(path);
    await this.disk.take(-(await this.disk.sizeOf(target.path)), to);
    await this.fs.mv(source.path, target.path);
  }

  async chmod(path: string, mode: number): Promise<void> {
    const { path: real } = await this.end(path);
    this.requireOwner(real, path);
    await this.fs.chmod(real, mode);
  }

  async utimes(path: string, accessed: Date, modified: Date): Promise<void> {
    const { path: real } = await this.end(path);
    this.requireOwner(real, path);
    await this.fs.utimes(real, accessed, modified);
  }

  async symlink(target: string, path: string): Promise<void> {
    await this.fs.symlink(target, await this.free(path));
  }

  async link(from: string, to: string): Promise<void> {
    const source = await this.end(from, false);
    await this.fs.link(source.path, await this.free(to));
  }

  private async end(path: string, last = true) {
    const found = await followToEnd(this.fs, '/', path, last);
    if (this.uid !== 0 && isBelow(found.path, ROOTS) && !ROOTS.includes(found.path))
      throw new Errno('EACCES', path);
    return found;
  }

  private async readable(path: string): Promise<string> {
    const { path: real, found } = await this.end(path);
    if (found.isDirectory) throw new Errno('EISDIR', path);
    this.require(found.mode, READ, path);
    return real;
  }

  private async writable(path: string): Promise<Found> {
    const found = await follow(this.fs, '/', path);
    if (found.found?.isDirectory) throw new Errno('EISDIR', path);
    if (found.found === undefined) await this.requireFolder(found.path);
    else {
      this.requireOwner(found.path, path);
      this.require(found.found.mode, WRITE, path);
    }
    return found;
  }

  /** Whether there is a file, of one that its user can write or make; throws for any other. */
  async canBeWritten(path: string): Promise<boolean> {
    return (
      (await follow(this.fs, '/', path)).found?.isDirectory || (await this.writable(path)).found !== undefined
    );
  }

  private async free(path: string): Promise<string> {
    const { path: real, found } = await follow(this.fs, '/', path, false);
    if (found !== undefined) throw new Errno('EEXIST', path);
    await this.requireFolder(real);
    return real;
  }

  /** The right to make and remove names next to this one. */
  async requireFolder(path: string): Promise<void> {
    const folder = folderOf(path);
    this.requireOwner(folder, path);
    this.require((await this.fs.stat(folder)).mode, WRITE, path);
  }

  private requireOwner(real: string, path: string): void {
    if (this.uid !== 0 && !isBelow(real, EVERYBODYS)) throw new Errno('EACCES', path);
  }

  private require(mode: number, bit: number, path: string): void {
    if (this.uid !== 0 && (mode & bit) === 0) throw new Errno('EACCES', path);
  }
}
