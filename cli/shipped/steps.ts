/** The steps of contracts in words, from dom0's spec. */
import { STEPS } from '../../core/api/generated/steps.js';

export interface Verb {
  readonly words: string;
  readonly reads_only?: boolean;
  readonly arguments: Readonly<Record<string, string | readonly string[]>>;
  readonly methods: readonly string[];
  readonly tier: string;
}

export const VERBS: Readonly<Record<string, Verb>> = STEPS;
