import { spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

const BIOME = join(ROOT, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');

/** Indented, because people review it. Digests are computed over the canonical form, so spacing does not matter. */
export const pretty = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** The text as `npm run format` would leave it. */
export function formatted(text: string, path: string): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [BIOME, 'format', '--stdin-file-path', relative(ROOT, path)],
    { encoding: 'utf8', input: text, cwd: ROOT },
  );
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

/** Returns the paths whose content differs, and writes them unless `check`. */
export async function writeChanged(files: ReadonlyMap<string, string>, check: boolean): Promise<string[]> {
  const different: string[] = [];
  for (const [path, content] of files) {
    if ((await readFile(path, 'utf8').catch(() => undefined)) === content) continue;
    different.push(path);
    if (check) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  return different;
}

export function report(different: readonly string[], check: boolean): void {
  for (const path of different)
    process.stdout.write(`${check ? 'out of date' : 'wrote'}: ${relative(ROOT, path)}\n`);
}
