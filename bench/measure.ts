/**
 * Medians of many runs. The actions under comparison take turns, so that a machine that slows down affects all of them. Their order
 * is random, so that no action always follows the same one.
 */
import { randomInt } from 'node:crypto';
import { Random } from '../sim/host/random.js';

/** Set QMCP_SEED to the printed seed to repeat the order of a run. */
export const SEED = Number(process.env.QMCP_SEED ?? randomInt(2 ** 31));
const random = new Random(SEED);

export type Act = () => Promise<unknown>;

export async function medians(
  acts: Readonly<Record<string, Act>>,
  runs: number,
): Promise<Map<string, number>> {
  const times = new Map(Object.keys(acts).map((name) => [name, [] as number[]]));
  for (let run = -Math.ceil(runs / 10); run < runs; run++)
    for (const [name, act] of shuffled(Object.entries(acts))) {
      const begin = performance.now();
      await act();
      // The first tenth is a warm-up and is not counted.
      if (run >= 0) times.get(name)!.push(performance.now() - begin);
    }
  return new Map([...times].map(([name, all]) => [name, all.sort((a, b) => a - b)[all.length >> 1]!]));
}

function shuffled<T>(all: readonly T[]): T[] {
  const order = [...all];
  for (let at = order.length - 1; at > 0; at--) {
    const other = random.below(at + 1);
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}

export interface Row {
  readonly what: string;
  readonly ratio: number;
  readonly aim?: string;
  readonly detail: string;
}

export function show(rows: readonly Row[]): void {
  const cells = rows.map(({ what, ratio, aim, detail }) => [what, ratio.toFixed(2), aim ?? '', detail]);
  const head = ['what', 'ratio', 'aim', 'medians'];
  const widths = head.map((text, column) =>
    Math.max(text.length, ...cells.map((row) => row[column]!.length)),
  );
  for (const row of [head, ...cells])
    process.stdout.write(
      `${row
        .map((text, column) => text.padEnd(widths[column]!))
        .join('  ')
        .trimEnd()}\n`,
    );
}

export const ms = (milliseconds: number): string => `${milliseconds.toFixed(2)} ms`;
