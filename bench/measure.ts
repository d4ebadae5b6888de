/** Medians of many runs, the things compared taken in turn: a machine that slows down slows all of them. */

export type Act = () => Promise<unknown>;

export async function medians(
  acts: Readonly<Record<string, Act>>,
  runs: number,
): Promise<Map<string, number>> {
  const times = new Map(Object.keys(acts).map((name) => [name, [] as number[]]));
  for (let run = -Math.ceil(runs / 10); run < runs; run++)
    for (const [name, act] of Object.entries(acts)) {
      const begin = performance.now();
      await act();
      // The first tenth warms things up and does not count.
      if (run >= 0) times.get(name)!.push(performance.now() - begin);
    }
  return new Map([...times].map(([name, all]) => [name, all.sort((a, b) => a - b)[all.length >> 1]!]));
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
