import { Refused } from './errors.js';

/**
 * Asks about one qube after the other; a world has a budget of calls at once. Leaves out a qube that has gone since it was
 * listed, and lets every other refusal through.
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
