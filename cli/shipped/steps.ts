/** The steps that contracts can have, described in words, from dom0's spec. */
import { STEPS } from '../../core/api/generated/steps.js';

export interface StepDescription {
  readonly words: string;
  readonly reads_only?: boolean;
  readonly arguments: Readonly<Record<string, string | readonly string[]>>;
  readonly methods: readonly string[];
  readonly tier: string;
}

export const STEP_DESCRIPTIONS: Readonly<Record<string, StepDescription>> = STEPS;
