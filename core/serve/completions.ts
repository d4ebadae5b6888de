/** Completions shown at most: what the protocol allows. */
const SHOWN = 100;

export function startingWith(typed: string, words: readonly string[]): string[] {
  return words.filter((word) => word.startsWith(typed)).slice(0, SHOWN);
}
