/** Refusals of arguments for what a schema cannot say. */
import { Refused } from './errors.js';
import { partsOf } from './internal/parts.js';

/** The refusal of an argument. `at` is a JSON pointer to it; `problem` ends the sentence that begins with its place. */
export const invalidAt = (at: string, problem: string): Refused =>
  new Refused('invalid-request', { problems: [{ at: at || '/', problem }] });

/** Refuses text that no program in a qube can take: POSIX strings end at NUL, and a lone surrogate has no UTF-8. */
export function refuseUnusableText(params: unknown): void {
  for (const { at, text } of textsIn(params)) {
    if (text.includes('\0')) throw invalidAt(at, 'must not contain the character NUL');
    refuseLoneSurrogates(at, text);
  }
}

/** Refuses text without a UTF-8 form. Unlike the text that a program gets as an argument, it may contain NUL. */
export function refuseLoneSurrogates(at: string, text: string): void {
  if (/\p{Surrogate}/u.test(text)) throw invalidAt(at, 'must be valid Unicode, without lone surrogates');
}

/** Every text in the parameters, names of members included. */
function textsIn(value: unknown, at = ''): { at: string; text: string }[] {
  if (typeof value === 'string') return [{ at, text: value }];
  return partsOf(value).flatMap(([step, part]) => [
    { at: `${at}/${step}`, text: step },
    ...textsIn(part, `${at}/${step}`),
  ]);
}
