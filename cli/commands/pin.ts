import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { createTwoFilesPatch } from 'diff';
import { printable } from '../../core/boot/problems.js';
import { pins } from '../../core/main.js';
import { type Difference, describeDifference, differences, type Lock } from '../../core/pin/lock.js';
import type { ServeFlags } from '../arguments/flags.js';
import { onHost } from '../host/choose.js';
import { type Colour, paint } from '../terminal/terminal.js';

export interface PinFlags extends ServeFlags {
  readonly review?: true;
  readonly yes?: true;
}

/** Records the texts and schemas that a model sees, or shows what has changed since and records that when a person approves. */
export function pin(flags: PinFlags): Promise<void> {
  return onHost(flags, async (config) => {
    const { path, locked, current } = await pins(config);
    if (locked === undefined) {
      write(path, current);
      process.stdout.write(
        `${path}: written (${summary(current)}). Commit this file; from now on qmcp serves only what matches it.\n`,
      );
      return;
    }
    const changes = differences(locked, current);
    if (changes.length === 0) {
      process.stdout.write(`${path}: everything matches the last review (${summary(current)}).\n`);
      return;
    }
    process.stdout.write(
      `${changes.map((each) => renderDifference(each, flags.review === true)).join('\n')}\n`,
    );
    if (!flags.review) {
      process.stdout.write(
        '\nChanged items are not served until you approve them: run qmcp pin --review to see the old and new versions.\n',
      );
      process.exitCode = 1;
    } else if (flags.yes || (await askApproval())) {
      write(path, current);
      process.stdout.write(`\n${path}: written.\n`);
    } else {
      process.stdout.write(
        '\nNot written. To approve all changes, answer y or run qmcp pin --review --yes.\n',
      );
      process.exitCode = 1;
    }
  });
}

/** Replaces the file in one step, so that it is never half written. */
function write(path: string, lock: Lock): void {
  const draft = `${path}.new`;
  writeFileSync(draft, `${JSON.stringify(lock, null, 2)}\n`);
  renameSync(draft, path);
  if (!existsSync(path)) throw new Error(`${path} could not be written`);
}

function summary({ plugins }: Lock): string {
  const all = Object.values(plugins);
  const sum = (kind: 'tools' | 'resources' | 'prompts') =>
    all.reduce((count, plugin) => count + Object.keys(plugin[kind]).length, 0);
  return `${all.length} plugins, ${sum('tools')} tools, ${sum('resources')} resources, ${sum('prompts')} prompts`;
}

/** Describes a difference in words and, with `withDiff`, as a diff in which invisible characters are escaped. */
function renderDifference(difference: Difference, withDiff: boolean): string {
  const words = paint(printable(`* ${describeDifference(difference)}`), 'bold');
  const { was, is, kind } = difference;
  if (!withDiff || kind === 'version') return words;
  const [before, after] = [text(was), text(is)];
  const patch = createTwoFilesPatch('', '', before, after, '', '', { context: 2 });
  const lines = patch.split('\n').filter((line) => !/^(=====|---|\+\+\+|@@|\\)/.test(line));
  const coloured = lines.map((line) => {
    const colour: Colour | undefined = line.startsWith('+')
      ? 'green'
      : line.startsWith('-')
        ? 'red'
        : undefined;
    const safe = printable(`    ${line}`);
    return colour ? paint(safe, colour) : safe;
  });
  return [words, ...coloured].join('\n').trimEnd();
}

const text = (value: unknown): string => {
  if (value === undefined) return '';
  return typeof value === 'string' ? `${value}\n` : `${JSON.stringify(value, null, 2)}\n`;
};

async function askApproval(): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return false;
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await lines.question('\nApprove all of these changes? [y/N] ')).trim());
  } finally {
    lines.close();
  }
}
