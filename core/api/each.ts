import { Refused } from './errors.js';

/**
 * Asks about one qube after the other, because a world has a budget of concurrent calls. Skips a qube that was removed after
 * it was listed, and passes on every other refusal.
 */
export async function eachOf<Q extends { readonly name: string }, T>(
  qubes: readonly Q[],
  ask: (qube: Q) => Promise<T>,
): Promise<T[]> {
  const answers: T[] = [];
  for (const qube of qubes) {
    try {
      answers.push(await ask(qube));
    } catch (error) {
      if (!(error instanceof Refused) || error.code !== 'not-found') throw error;
    }
  }
  return answers;
}
