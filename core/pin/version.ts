import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join } from 'node:path';

/**
 * The version of a plugin: for a package or a folder the version in its package.json, for a single file its digest. Names of
 * packages are looked up from `folder`.
 */
export async function versionOf(origin: string, folder: string): Promise<string> {
  if (isAbsolute(origin)) {
    if ((await stat(origin)).isFile())
      return `sha256:${createHash('sha256')
        .update(await readFile(origin))
        .digest('hex')}`;
    return (await versionIn(origin)) ?? 'without a version';
  }
  for (const from of [join(folder, 'x'), import.meta.url]) {
    const found = await versionAbove(from, origin);
    if (found !== undefined) return found;
  }
  return 'without a version';
}

/** The version of the package of that name, as Node resolves it from a file. */
async function versionAbove(from: string, name: string): Promise<string | undefined> {
  let at: string;
  try {
    at = createRequire(from).resolve(name);
  } catch {
    return undefined;
  }
  while (dirname(at) !== at) {
    at = dirname(at);
    const version = await versionIn(at, name);
    if (version !== undefined) return version;
  }
  return undefined;
}

async function versionIn(folder: string, named?: string): Promise<string | undefined> {
  try {
    const { name, version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    if (named !== undefined && name !== named) return undefined;
    return typeof version === 'string' ? version : undefined;
  } catch {
    return undefined;
  }
}
