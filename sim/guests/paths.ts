/** Paths as Linux walks them: step by step, through links, and only through directories. The file system in memory compares text. */
import type { FsStat, IFileSystem } from 'just-bash';

/** As many links as Linux follows. */
const MOST_LINKS = 40;

const WORDS = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  EEXIST: 'file already exists',
  ELOOP: 'too many levels of symbolic links',
  EACCES: 'permission denied',
  ENOSPC: 'no space left on device',
} as const;

/** An error as the file system in memory has it: the shell and the services read the name at its beginning. */
export class Errno extends Error {
  constructor(
    readonly code: keyof typeof WORDS,
    path: string,
  ) {
    super(`${code}: ${WORDS[code]}, open '${path}'`);
  }
}

/** The end of a path; `found` is undefined if there is nothing, in a directory that exists. */
export interface Found {
  readonly path: string;
  readonly found: FsStat | undefined;
}

/** Follows a path from a directory, and through a link at its end unless told not to. Throws an Errno. */
export async function follow(fs: IFileSystem, from: string, path: string, last = true): Promise<Found> {
  const steps = path.split('/');
  let at = path.startsWith('/') ? '' : from.replace(/\/$/, '');
  let links = 0;
  for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
    if (!(await fs.stat(at || '/')).isDirectory) throw new Errno('ENOTDIR', path);
    if (step === '' || step === '.') continue;
    if (step === '..') {
      at = at.slice(0, at.lastIndexOf('/'));
      continue;
    }
    const next = `${at}/${step}`;
    const found = await fs.lstat(next).catch(() => undefined);
    if (found === undefined) {
      if (steps.length === 0) return { path: next, found };
      // Only a directory could be made by this name.
      throw new Errno(steps.every((rest) => rest === '' || rest === '.') ? 'EISDIR' : 'ENOENT', path);
    }
    if (!found.isSymbolicLink) at = next;
    else if (steps.length === 0 && !last) return { path: next, found };
    else {
      links += 1;
      if (links > MOST_LINKS) throw new Errno('ELOOP', path);
      const target = await fs.readlink(next);
      if (target.startsWith('/')) at = '';
      steps.unshift(...target.split('/'));
    }
  }
  return { path: at || '/', found: await fs.stat(at || '/') };
}

/** The same for what must be there. */
export async function followToEnd(fs: IFileSystem, from: string, path: string, last = true) {
  const { found, ...where } = await follow(fs, from, path, last).catch((error: unknown) => {
    throw error instanceof Errno && error.code === 'EISDIR' ? new Errno('ENOENT', path) : error;
  });
  if (found === undefined) throw new Errno('ENOENT', path);
  return { ...where, found };
}

export const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';
