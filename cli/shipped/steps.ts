/** The verbs of contracts in words, from the vocabulary that ships with dom0. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { PACKAGE } from './package.js';

export interface Verb {
  readonly words: string;
  readonly reads_only?: boolean;
  readonly arguments: Readonly<Record<string, string | readonly string[]>>;
  readonly methods: readonly string[];
  readonly tier?: string;
}

export function verbs(root = PACKAGE): Record<string, Verb> {
  const text = readFileSync(join(root, 'dom0/settings/vocabulary.toml'), 'utf8');
  return (parse(text) as unknown as { step: Record<string, Verb> }).step;
}
