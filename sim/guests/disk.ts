import type { IFileSystem } from 'just-bash';
import { Errno } from './paths.js';

/** The room that is left for the files of a guest. */
export class Disk {
  private used: Promise<number>;

  constructor(
    private readonly fs: IFileSystem,
    private readonly most: number,
  ) {
    this.used = this.sizeOf('/');
  }

  /** Holds this many bytes more, or gives them back. Throws if there is no room. */
  async take(bytes: number, path: string): Promise<void> {
    const used = await this.used;
    if (bytes > 0 && used + bytes > this.most) throw new Errno('ENOSPC', path);
    this.used = Promise.resolve(used + bytes);
  }

  /** The bytes of a file, or of all files below a directory; 0 if there is nothing. */
  async sizeOf(path: string): Promise<number> {
    const found = await this.fs.lstat(path).catch(() => undefined);
    if (!found?.isDirectory) return found?.isFile ? found.size : 0;
    let sum = 0;
    for (const name of await this.fs.readdir(path))
      sum += await this.sizeOf(`${path === '/' ? '' : path}/${name}`);
    return sum;
  }
}
