import { randomInt } from 'node:crypto';

/** What a run draws, it draws from this; it is printed with it. QMCP_SEED=… repeats a run. */
export const SEED = Number(process.env.QMCP_SEED ?? randomInt(2 ** 31));
