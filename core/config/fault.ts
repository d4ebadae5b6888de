/** The configuration is not valid. Each line of the message names the source, the path in it, and what to write. */
export class BadConfig extends Error {
  override readonly name = 'BadConfig';
}

/** The known name that a person most likely meant: at most two edits away, or starting with the given text. Ignores case. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, edits: distance(name.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  if (ranked[0] !== undefined && ranked[0].edits <= 2) return ranked[0].candidate;
  return name.length < 3
    ? undefined
    : known.find((each) => each.toLowerCase().startsWith(name.toLowerCase()));
}

/** `did you mean "x"?` if a known name is near, else the list of known names. */
export function suggestion(name: string, known: readonly string[]): string {
  const near = nearestName(name, known);
  return near === undefined ? `expected one of ${known.join(', ')}` : `did you mean ${JSON.stringify(near)}?`;
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
