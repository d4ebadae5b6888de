/** Values that a host generates: uuids, tokens for copying a volume, names of unnamed disposables. */
const RANDOM_VALUE =
  /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|(?<=^0\0)[A-Za-z0-9]{32}$|\bdisp\d{1,4}\b/g;

/** Values that are the same wherever they are in a request. */
const FIXED_VALUE =
  /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|(?<=\0)[A-Za-z0-9]{32}$|\bdisp\d{1,4}\b/g;

/**
 * Maps the values that the recorded host generated to ours. The first reply that shows both sets the pair; from then on, one
 * must always stand for the other.
 */
export class Translation {
  readonly #ours = new Map<string, string>();
  readonly #theirs = new Map<string, string>();

  /** A value in a request that the recorded host did not generate stands for itself. */
  keepFixed(request: string): void {
    for (const [name] of request.matchAll(/\bname=(disp\d{1,4})\b/g)) {
      const word = name.slice('name='.length);
      this.#pair(word, word);
    }
  }

  /** A recorded request with our host's values. */
  request(recorded: string): string {
    return recorded.replace(FIXED_VALUE, (word) => this.#ours.get(word) ?? word);
  }

  /** Compares two replies; generated values at the same place become a pair. */
  same(recorded: string, ours: string): boolean {
    const [a, b] = [recorded.match(RANDOM_VALUE) ?? [], ours.match(RANDOM_VALUE) ?? []];
    if (
      recorded.replace(RANDOM_VALUE, '\u0001') !== ours.replace(RANDOM_VALUE, '\u0001') ||
      a.length !== b.length
    ) {
      return false;
    }
    return a.every((word, at) => this.#pair(word, b[at] as string));
  }

  #pair(theirs: string, ours: string): boolean {
    const [known, back] = [this.#ours.get(theirs), this.#theirs.get(ours)];
    if (known === undefined && back === undefined) {
      this.#ours.set(theirs, ours);
      this.#theirs.set(ours, theirs);
      return true;
    }
    return known === ours && back === theirs;
  }
}
