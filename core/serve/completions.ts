/** The most completions that the protocol allows. */
const MAX_COMPLETIONS = 100;

export function completionsFor(typed: string, words: readonly string[]): string[] {
  return words.filter((word) => word.startsWith(typed)).slice(0, MAX_COMPLETIONS);
}
