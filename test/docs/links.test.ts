import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const pages = readdirSync(ROOT, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.md') && !/(^|\/)(node_modules|dist|\.git)\//.test(path))
  .sort();

/** Text without the parts that only look like Markdown. */
const prose = (text: string): string =>
  text.replace(/^(```|~~~)[\s\S]*?^\1/gm, '').replace(/`[^`\n]*`/g, '`x`');

/** GitHub's anchors of headings; the second of a name gets a number. */
function anchors(path: string): Set<string> {
  const seen = new Map<string, number>();
  const text = readFileSync(path, 'utf8').replace(/^(```|~~~)[\s\S]*?^\1/gm, '');
  const made = [...text.matchAll(/^#{1,6} +(.+?)\s*#*$/gm)].map(([, heading]) => {
    const plain = heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '');
    const base = plain
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
    const count = seen.get(base) ?? 0;
    seen.set(base, count + 1);
    return count === 0 ? base : `${base}-${count}`;
  });
  return new Set([...made, ...[...text.matchAll(/<a (?:id|name)="([^"]+)"/g)].map(([, id]) => id!)]);
}

/** The reason why a link is broken, or undefined. */
function objection(page: string, link: string): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(link)) return undefined;
  const [path = '', anchor] = link.split('#');
  const target = path === '' ? join(ROOT, page) : resolve(ROOT, dirname(page), decodeURIComponent(path));
  if (relative(ROOT, target).startsWith('..')) return 'outside of the repository';
  if (!existsSync(target)) return 'no such file';
  if (anchor === undefined || anchor === '') return undefined;
  if (statSync(target).isDirectory() || !target.endsWith('.md'))
    return /^L\d+/.test(anchor) ? undefined : 'no page';
  return anchors(target).has(anchor) ? undefined : 'no such heading there';
}

function links(page: string): string[] {
  const text = prose(readFileSync(join(ROOT, page), 'utf8'));
  const inline = [...text.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)].map(([, link]) => link!);
  const named = [...text.matchAll(/^\[[^\]]+\]:\s+(\S+)/gm)].map(([, link]) => link!);
  return [...inline, ...named];
}

describe('links in the documentation', () => {
  test('the documentation that is checked includes the README and the reference', () => {
    expect(pages).toEqual(
      expect.arrayContaining(['README.md', 'docs/reference/tools.md', 'docs/architecture.md']),
    );
    expect(links('docs/reference/tools.md').length).toBeGreaterThan(50);
  });

  test.each(pages)('every link of %s leads to a file or heading that exists', (page) => {
    const dead = links(page).flatMap((link) => {
      const why = objection(page, link);
      return why === undefined ? [] : [`${link}: ${why}`];
    });
    expect(dead).toEqual([]);
  });

  test.each([
    ['docs/architecture.md', './no-such-file.md'],
    ['docs/architecture.md', 'invariants.md#no-such-heading'],
    ['README.md', '../../etc/passwd'],
    ['README.md', '#nowhere'],
  ])('the check of links fails if %s links to %s', (page, link) => {
    expect(objection(page, link)).toBeDefined();
  });
});

test('every decision has a number of its own, and its heading says it', () => {
  const decisions = pages.filter((page) => page.startsWith('docs/adr/'));
  const numbers = decisions.map((page) => Number(/\/(\d+)-/.exec(page)![1]));
  expect(new Set(numbers).size).toBe(decisions.length);
  const headings = decisions.map((page) => /^# (\d+)\. /.exec(readFileSync(join(ROOT, page), 'utf8'))?.[1]);
  expect(headings.map(Number)).toEqual(numbers);
});
