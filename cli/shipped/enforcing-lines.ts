/** Finds the lines of dom0 that enforce each invariant. It reads the shipped files, so the answer is never out of date. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { PACKAGE } from './package.js';

export interface EnforcingLine {
  /** Relative to the root of the package. */
  readonly file: string;
  readonly line: number;
  /** The `def` it is in. */
  readonly within: string;
  /** The line without its comment. */
  readonly text: string;
}

const MARK = /^(.*?)\s*# INVARIANT ([a-z.-]+)$/;

/** The name of the table row that contains a line, or begins at it. */
const rowAt = (lines: readonly string[], line: number): string => {
  const begins = lines.findLastIndex((each, at) => at <= line && each.startsWith('[['));
  return /^is = "(.*)"/.exec(lines[begins + 1] ?? '')?.[1] ?? '';
};

/** The lines marked `# INVARIANT id`, by id. */
export function enforcingLines(root = PACKAGE): Map<string, EnforcingLine[]> {
  const byId = new Map<string, EnforcingLine[]>();
  for (const folder of ['qmcpd', 'settings', 'spec', 'policy', 'operator']) {
    const path = join(root, 'dom0', folder);
    for (const name of readdirSync(path)
      .filter((each) => /\.(py|toml)$/.test(each))
      .sort()) {
      let within = '';
      const lines = readFileSync(join(path, name), 'utf8').split('\n');
      for (const [index, line] of lines.entries()) {
        within = name.endsWith('.py')
          ? (/^\s*(?:async )?def (\w+)/.exec(line)?.[1] ?? within)
          : rowAt(lines, index);
        const [, before, id] = MARK.exec(line) ?? [];
        if (before === undefined || id === undefined) continue;
        // A comment on a line of its own applies to the next line.
        const [at, text] = before.trim() === '' ? [index + 1, lines[index + 1] ?? ''] : [index, before];
        const file = relative(root, join(path, name));
        byId.set(id, [...(byId.get(id) ?? []), { file, line: at + 1, within, text: text.trim() }]);
      }
    }
  }
  return byId;
}
