import { randomInt } from 'node:crypto';

/** The seed of every random choice. Tests print it; QMCP_SEED=… repeats the run. */
export const SEED = Number(process.env.QMCP_SEED ?? randomInt(2 ** 31));
