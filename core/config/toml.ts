import type { Step } from './path.js';

const HEADER = /^\s*\[\[?([^\]]+)\]\]?\s*(?:#.*)?$/;
const ASSIGNED =
  /^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=/;

/**
 * Finds the line of a path in a TOML text, because the parser does not report lines. Finds the line that names the longest
 * part of the path, then looks for the rest (keys of an inline table, an entry of a list) on the lines that follow.
 */
export function linesOfToml(text: string): (path: readonly Step[]) => number {
  const lines = text.split('\n');
  const lineOfKey = new Map<string, number>();
  let table: string[] = [];
  for (const [index, line] of lines.entries()) {
    const header = HEADER.exec(line)?.[1];
    const assigned = ASSIGNED.exec(line)?.[1];
    if (header !== undefined) table = keysOf(header);
    else if (assigned === undefined) continue;
    const path = assigned === undefined ? table : [...table, ...keysOf(assigned)];
    for (let length = 1; length <= path.length; length++) {
      const key = JSON.stringify(path.slice(0, length));
      if (!lineOfKey.has(key)) lineOfKey.set(key, index);
    }
  }
  return (path) => {
    const steps = path.map(String);
    let length = steps.length;
    while (length > 0 && !lineOfKey.has(JSON.stringify(steps.slice(0, length)))) length -= 1;
    let line = length === 0 ? 0 : lineOfKey.get(JSON.stringify(steps.slice(0, length)))!;
    for (const step of path.slice(length)) line = lineOfStep(lines, line, step);
    return line + 1;
  };
}

const keysOf = (dotted: string): string[] =>
  [...dotted.matchAll(/"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare!,
  );

/** The first line from there on that names the key, or that holds the entry with that index. */
function lineOfStep(lines: readonly string[], from: number, step: Step): number {
  if (typeof step === 'string') {
    const named = new RegExp(`(^|[\\s{,.])["']?${step.replace(/[^\w-]/g, '\\$&')}["']?\\s*=`);
    const found = lines.findIndex((line, index) => index >= from && named.test(line));
    return found === -1 ? from : found;
  }
  let entries = -1;
  for (let index = from; index < lines.length; index++) {
    const text = index === from ? lines[index]!.replace(/^[^=]*=/, '') : lines[index]!;
    entries += (text.match(/"[^"]*"|'[^']*'|[^\s,[\]]+/g) ?? []).length;
    if (entries >= step) return index;
    if (/\]\s*$/.test(text)) break;
  }
  return from;
}
