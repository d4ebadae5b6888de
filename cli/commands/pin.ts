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

/** Writes down what an agent's model is shown, or shows what has changed since and writes that when a person agrees. */
export function pin(flags: PinFlags): Promise<void> {
  return onHost(flags, async (config) => {
    const { path, locked, current } = await pins(config);
    if (locked === undefined) {
      write(path, current);
      process.stdout.write(
        `${path}: written, with ${counted(current)}. Commit it; qmcp serves only what is as it says.\n`,
      );
      return;
    }
    const found = differences(locked, current);
    if (found.length === 0) {
      process.stdout.write(`${path}: everything is as it was reviewed, ${counted(current)}.\n`);
      return;
    }
    process.stdout.write(`${found.map((each) => shown(each, flags.review === true)).join('\n')}\n`);
    if (!flags.review) {
      process.stdout.write(
        '\nNot served until you have looked: qmcp pin --review shows what was and what is.\n',
      );
      process.exitCode = 1;
    } else if (flags.yes || (await agreed())) {
      write(path, current);
      process.stdout.write(`\n${path}: written.\n`);
    } else {
      process.stdout.write('\nNot written. Say --yes, or answer y, when all of it is meant.\n');
      process.exitCode = 1;
    }
  });
}

/** Whole or not at all. */
function write(path: string, lock: Lock): void {
  const draft = `${path}.new`;
  writeFileSync(draft, `${JSON.stringify(lock, null, 2)}\n`);
  renameSync(draft, path);
  if (!existsSync(path)) throw new Error(`${path} could not be written`);
}

function counted({ plugins }: Lock): string {
  const all = Object.values(plugins);
  const sum = (kind: 'tools' | 'resources' | 'prompts') =>
    all.reduce((count, plugin) => count + Object.keys(plugin[kind]).length, 0);
  return `${all.length} plugins, ${sum('tools')} tools, ${sum('resources')} resources, ${sum('prompts')} prompts`;
}

/** In words, and then as a diff in which nothing is invisible. */
function shown(difference: Difference, whole: boolean): string {
  const words = paint(printable(`* ${describeDifference(difference)}`), 'bold');
  const { was, is, kind } = difference;
  if (!whole || kind === 'version') return words;
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

async function agreed(): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY) return false;
  const lines = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return /^y(es)?$/i.test((await lines.question('\nIs all of this meant? [y/N] ')).trim());
  } finally {
    lines.close();
  }
}
