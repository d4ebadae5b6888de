import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { PolicySyntaxError, parseRule, parseService, type Rule, type Words } from './rule.js';

const SUFFIX = '.policy';
const FILE_NAME = /^[a-z0-9_.-]+$/;
/** Files of the old format that a package manager or editor left beside the real ones. */
const OLD_IGNORED = /\.(rpmsave|rpmnew|swp)$/;
const OLD_FILE_NAME = /^[A-Za-z0-9._+-]+$/;
const DEPTH = 32;
/** The characters that separate words: Python's white space, which differs from JavaScript's. */
const BLANK = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const BLANKS = new RegExp(`[${BLANK}]+`);
const ONE_BLANK = new RegExp(`[${BLANK}]`);
const isBlank = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at);
  // A quick answer for most characters.
  return (code <= 0x20 || code >= 0x85) && ONE_BLANK.test(text[at]!);
};

function trimmed(text: string): string {
  let [start, end] = [0, text.length];
  while (start < end && isBlank(text, start)) start += 1;
  while (end > start && isBlank(text, end - 1)) end -= 1;
  return text.slice(start, end);
}

/** Where policies are stored. Tests use maps instead of directories. */
export interface PolicyFiles {
  /** The base names of the plain files in a directory; throws if there is no such directory. */
  list(directory: string): string[];
  read(path: string): string;
  isFile(path: string): boolean;
}

export const DISK: PolicyFiles = {
  list: (directory) => readdirSync(directory).filter((name) => DISK.isFile(join(directory, name))),
  read: (path) => readFileSync(path, 'utf8'),
  isFile: (path) => statSync(path, { throwIfNoEntry: false })?.isFile() === true,
};

export interface Policy {
  readonly rules: readonly Rule[];
}

/**
 * Every rule of these directories, in order. A file in an earlier directory replaces one of the same name in a later one. Throws
 * PolicySyntaxError if anything is invalid: then there is no policy at all.
 */
export function loadPolicy(
  directories: readonly string[],
  options: { files?: PolicyFiles; legacy?: string } = {},
): Policy {
  const { files = DISK, legacy } = options;
  const chosen = new Map<string, string>();
  for (const directory of directories)
    for (const name of policyNames(files, directory)) if (!chosen.has(name)) chosen.set(name, directory);
  const reader = new Reader(files, legacy);
  for (const name of [...chosen.keys()].sort(byCodeUnit)) {
    const directory = chosen.get(name)!;
    reader.file(join(directory, name), directory, 0);
  }
  return { rules: reader.rules };
}

/** A policy made of texts, as if they were the files of one directory; `include/x` is a file of a directory in it. */
export function policyOf(texts: Readonly<Record<string, string>>): Policy {
  const root = '/policy';
  const byPath = new Map(Object.entries(texts).map(([name, text]) => [join(root, name), text]));
  const files: PolicyFiles = {
    list: (directory) => {
      const within = [...byPath.keys()].filter((path) => path.startsWith(`${directory}/`));
      if (within.length === 0 && directory !== root) throw new Error(`${directory} does not exist`);
      return within.filter((path) => dirname(path) === directory).map((path) => basename(path));
    },
    read: (path) => byPath.get(path)!,
    isFile: (path) => byPath.has(path),
  };
  return loadPolicy([root], { files });
}

function policyNames(files: PolicyFiles, directory: string): string[] {
  const names = files.list(directory).filter((name) => name.endsWith(SUFFIX) && !name.startsWith('.'));
  for (const name of names)
    if (!FILE_NAME.test(name)) throw new PolicySyntaxError(join(directory, name), 0, 'invalid file name');
  return names.sort(byCodeUnit);
}

const byCodeUnit = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

class Reader {
  readonly rules: Rule[] = [];

  constructor(
    private readonly files: PolicyFiles,
    private readonly legacy: string | undefined,
  ) {}

  /** A file of the current format. `root` is what its includes are relative to. */
  file(path: string, root: string, depth: number): void {
    for (const { words, line } of this.lines(path, depth)) {
      const fail = (problem: string): never => {
        throw new PolicySyntaxError(path, line, problem);
      };
      const [directive, ...rest] = words;
      if (!directive!.startsWith('!')) {
        this.rules.push(parseRule(words, path, line));
        continue;
      }
      if (directive === '!include' && rest.length === 1) {
        this.file(this.included(rest[0]!, root, fail), root, depth + 1);
      } else if (directive === '!include-dir' && rest.length === 1) {
        this.directory(resolve(root, rest[0]!), root, depth + 1, fail);
      } else if (directive === '!include-service' && rest.length === 3) {
        const [service, argument, file] = rest as [string, string, string];
        parseService(service, argument, path, line);
        this.oldFile(service, argument, this.included(file, root, fail), root, depth + 1);
      } else if (directive === '!compat-4.0' && rest.length === 0) {
        this.oldDirectory();
      } else fail(`${words.join(' ')} is not a directive`);
    }
  }

  /** A file of the format before 4.1: one service, `SOURCE TARGET ACTION,parameters`. */
  private oldFile(service: string, argument: string, path: string, root: string, depth: number): void {
    const modern = (text: string) =>
      text.replaceAll('$include:', '!include ').replaceAll('$', '@').replaceAll(',', ' ');
    for (const { words, line } of this.lines(path, depth, modern)) {
      const [first, ...rest] = words;
      if (first === '!include' && rest.length === 1) {
        const fail = (problem: string): never => {
          throw new PolicySyntaxError(path, line, problem);
        };
        this.oldFile(service, argument, this.included(rest[0]!, root, fail), root, depth + 1);
      } else if (first!.startsWith('!'))
        throw new PolicySyntaxError(path, line, `${first} is not a directive`);
      else this.rules.push(parseRule([service, argument, ...words], path, line));
    }
  }

  /** Every old file: first those for one argument, which end in the deny that was implied. */
  private oldDirectory(): void {
    const root = this.legacy;
    if (root === undefined) return;
    const named = this.files
      .list(root)
      .filter((name) => OLD_FILE_NAME.test(name) && !name.startsWith('.') && !OLD_IGNORED.test(name))
      .map((name) => {
        const plus = name.indexOf('+');
        return plus < 0
          ? { name, service: name, argument: '*' }
          : { name, service: name.slice(0, plus), argument: name.slice(plus) };
      })
      .sort(
        (a, b) =>
          byCodeUnit(a.service, b.service) ||
          Number(a.argument === '*') - Number(b.argument === '*') ||
          byCodeUnit(a.argument, b.argument),
      );
    for (const { name, service, argument } of named) {
      const path = join(root, name);
      this.oldFile(service, argument, path, root, 0);
      if (argument === '*') continue;
      for (const target of ['@anyvm', '@adminvm'])
        this.rules.push(parseRule([service, argument, '@anyvm', target, 'deny'], path, 0));
    }
  }

  private directory(directory: string, root: string, depth: number, fail: (problem: string) => never): void {
    const names = this.namesIn(directory) ?? fail(`${directory} is not a directory`);
    for (const name of names) this.file(join(directory, name), root, depth);
  }

  private namesIn(directory: string): string[] | undefined {
    try {
      return policyNames(this.files, directory);
    } catch (error) {
      if (error instanceof PolicySyntaxError) throw error;
      return undefined;
    }
  }

  private included(path: string, root: string, fail: (problem: string) => never): string {
    const resolved = resolve(root, path);
    return this.files.isFile(resolved) ? resolved : fail(`${resolved} is not a file`);
  }

  private *lines(
    path: string,
    depth: number,
    rewrite: (text: string) => string = (text) => text,
  ): Generator<{ words: Words; line: number }> {
    if (depth > DEPTH) throw new PolicySyntaxError(path, 1, 'includes itself');
    let line = 0;
    for (const raw of this.files.read(path).split(/\r\n|\r|\n/)) {
      line += 1;
      const text = trimmed(raw);
      if (text !== '' && !text.startsWith('#')) yield { words: trimmed(rewrite(text)).split(BLANKS), line };
    }
  }
}
