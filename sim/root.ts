import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * A file of the package, relative to its root. Data files are not compiled, so the same relative path must work from `sim/` and
 * from `dist/sim/`: walk up to our package.json.
 */
export function packageFile(...path: string[]): string {
  return join(packageRoot(), ...path);
}

let root: string | undefined;

export function packageRoot(): string {
  if (root !== undefined) return root;
  let dir = dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const file = join(dir, 'package.json');
    if (existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { name?: string }).name === 'qmcp') {
      root = dir;
      return dir;
    }
    const up = dirname(dir);
    if (up === dir) throw new Error('the root of the qmcp package was not found');
    dir = up;
  }
}
