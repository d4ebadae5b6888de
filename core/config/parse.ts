import { extname } from 'node:path';
import { parse as parseToml, TomlError } from 'smol-toml';
import { isMap, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { BadConfig } from './fault.js';
import type { Step } from './path.js';
import { linesOfToml } from './toml.js';

/** The content of a file, with line numbers. */
export interface Parsed {
  readonly value: unknown;
  /** The line, from 1, of the key or list entry at that path, or of the nearest value around it that has one. */
  lineOf(path: readonly Step[]): number;
}

/**
 * Parses the text of a file as JSON or TOML by its name, otherwise as YAML. Nothing is executed, tags and merge keys are not
 * interpreted, and a duplicate key is an error. Throws BadConfig with the line.
 */
export function parseData(file: string, text: string): Parsed {
  const kind = extname(file);
  if (kind === '.toml') return toml(file, text);
  return yaml(file, text, kind === '.json');
}

/** Parses JSON as YAML to get line numbers, then rejects what is not JSON. */
function yaml(file: string, text: string, isJson: boolean): Parsed {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, version: '1.2' });
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) {
    const name = isJson ? 'JSON' : 'YAML';
    throw new BadConfig(`${file}:${lines.linePos(fault.pos[0]).line}: not ${name}: ${fault.message}`);
  }
  if (isJson) rejectNonJson(file, text);
  const lineAt = (node: unknown): number | undefined => {
    const range = (node as Node | null | undefined)?.range;
    return range ? lines.linePos(range[0]).line : undefined;
  };
  return {
    value: resolveAliases(file, text, () => document.toJS({ maxAliasCount: 100 })),
    lineOf: (path) => {
      let node: unknown = document.contents;
      let line = lineAt(node) ?? 1;
      for (const step of path) {
        let next: unknown;
        if (isMap(node)) {
          const pair = node.items.find(
            ({ key }) => isPair(key) || (isScalar(key) && String(key.value) === step),
          );
          line = lineAt(pair?.key) ?? line;
          next = pair?.value;
        } else if (isSeq(node)) {
          next = node.items[Number(step)];
          line = lineAt(next) ?? line;
        }
        if (next === undefined) break;
        node = next;
      }
      return line;
    },
  };
}

function rejectNonJson(file: string, text: string): void {
  const lines = text.split('\n');
  const faultOf = (count: number): string | undefined => {
    const part = lines.slice(0, count).join('\n');
    try {
      JSON.parse(part);
      return undefined;
    } catch (error) {
      const { message } = error as Error;
      // An error at the very end means only that the text goes on.
      const atItsEnd = Number(/at position (\d+)/.exec(message)?.[1] ?? -1) >= part.length;
      return count < lines.length && (atItsEnd || /end of JSON input/.test(message)) ? undefined : message;
    }
  };
  if (faultOf(lines.length) === undefined) return;
  const line = lines.findIndex((_, index) => faultOf(index + 1) !== undefined) + 1;
  throw new BadConfig(`${file}:${line}: not JSON: ${faultOf(line)}`);
}

function resolveAliases(file: string, text: string, read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    const { message } = error as Error;
    const alias = `*${message.split(' ').at(-1)}`;
    const line = text.split('\n').findIndex((each) => each.includes(alias)) + 1;
    throw new BadConfig(`${file}:${line || 1}: not YAML: ${message}`);
  }
}

function toml(file: string, text: string): Parsed {
  try {
    const value = parseToml(text);
    return { value, lineOf: linesOfToml(text) };
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new BadConfig(`${file}:${error.line}: not TOML: ${error.message.split('\n')[0]}`);
  }
}
