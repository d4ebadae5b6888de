/** Where in dom0's own code an invariant is enforced: read from the files that ship, so that it is never out of date. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { PACKAGE } from './package.js';

export interface Mark {
  /** From the root of the package. */
  readonly file: string;
  readonly line: number;
  /** The `def` it is in. */
  readonly within: string;
  /** The line itself, without the mark. */
  readonly text: string;
}

const MARK = /^(.*?)\s*# INVARIANT ([a-z.-]+)$/;

/** The lines marked `# INVARIANT id`, by id. */
export function marks(root = PACKAGE): Map<string, Mark[]> {
  const found = new Map<string, Mark[]>();
  for (const folder of ['qmcpd', 'settings', 'policy', 'operator']) {
    const path = join(root, 'dom0', folder);
    for (const name of readdirSync(path)
      .filter((each) => each.endsWith('.py'))
      .sort()) {
      let within = '';
      const lines = readFileSync(join(path, name), 'utf8').split('\n');
      for (const [index, line] of lines.entries()) {
        within = /^\s*(?:async )?def (\w+)/.exec(line)?.[1] ?? within;
        const [, before, id] = MARK.exec(line) ?? [];
        if (before === undefined || id === undefined) continue;
        // A mark on a line of its own is about the next line.
        const [at, text] = before.trim() === '' ? [index + 1, lines[index + 1] ?? ''] : [index, before];
        const file = relative(root, join(path, name));
        found.set(id, [...(found.get(id) ?? []), { file, line: at + 1, within, text: text.trim() }]);
      }
    }
  }
  return found;
}
