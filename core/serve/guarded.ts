import { Refused } from '../api/index.js';
import { errorTrace } from './failure.js';

/** Turns every error of a plugin into a refusal, and logs the reason for the operator. */
export async function refuseOnError<T>(
  name: string,
  log: (line: string) => void,
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Refused) throw error;
    log(`${name}: ${errorTrace(error)}`);
    throw new Refused('failed');
  }
}
