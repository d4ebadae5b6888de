/** Paths as Linux walks them: step by step, through links, and only through directories. The file system in memory compares text. */
import type { FsStat, IFileSystem } from 'just-bash';
import { conflict } from './protocol.js';

/** As many links as Linux follows. */
const MOST_LINKS = 40;

/** The end of a path, after every link; `found` is undefined if there is nothing, in a directory that exists. */
export interface Found {
  readonly path: string;
  readonly found: FsStat | undefined;
}

/** Follows a path from a directory. Throws the refusal that a real service would give. */
export async function follow(fs: IFileSystem, from: string, path: string): Promise<Found> {
  const steps = path.split('/');
  let at = path.startsWith('/') ? '' : from.replace(/\/$/, '');
  let links = 0;
  for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
    if (!(await fs.stat(at || '/')).isDirectory) throw conflict('not-a-directory');
    if (step === '' || step === '.') continue;
    if (step === '..') {
      at = at.slice(0, at.lastIndexOf('/'));
      continue;
    }
    const next = `${at}/${step}`;
    const found = await fs.lstat(next).catch(() => undefined);
    if (found === undefined) {
      if (steps.length === 0) return { path: next, found: undefined };
      throw steps.every((rest) => rest === '' || rest === '.')
        ? conflict('is-a-directory')
        : conflict('no-such-file');
    }
    if (found.isSymbolicLink) {
      links += 1;
      if (links > MOST_LINKS) throw conflict('link-loop');
      const target = await fs.readlink(next);
      if (target.startsWith('/')) at = '';
      steps.unshift(...target.split('/'));
    } else at = next;
  }
  return { path: at || '/', found: await fs.stat(at || '/') };
}

/** The same for what must be there. */
export async function followToEnd(fs: IFileSystem, from: string, path: string) {
  const { found, ...where } = await follow(fs, from, path).catch((error: unknown) => {
    // Only who writes is told that a missing name with a slash stands for a directory.
    throw (error as { problem?: string }).problem === 'is-a-directory' ? conflict('no-such-file') : error;
  });
  if (found === undefined) throw conflict('no-such-file');
  return { ...where, found };
}
