const NEWLINE = 10;
/** Bytes that are kept of the two ends of a line that is too long. */
const ENDS = 256;

/** A line without its end, or the two ends of one that is too long. */
export type Line =
  | { readonly bytes: Buffer }
  | { readonly size: number; readonly head: Buffer; readonly tail: Buffer };

/**
 * Splits bytes that come in pieces of any size into lines. A line costs work in proportion to its length, however many pieces
 * it comes in. Of a line over the limit, nothing but its ends is kept.
 */
export class LineSplitter {
  private pieces: Buffer[] = [];
  private size = 0;
  private ends: { readonly head: Buffer; tail: Buffer } | undefined;

  constructor(private readonly limit: number) {}

  *push(bytes: Buffer): Generator<Line> {
    let rest = bytes;
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      this.add(rest.subarray(0, end));
      yield this.take();
      rest = rest.subarray(end + 1);
    }
    this.add(rest);
  }

  /** The bytes after the last newline. */
  *end(): Generator<Line> {
    if (this.size > 0) yield this.take();
  }

  private add(piece: Buffer): void {
    if (piece.length === 0) return;
    this.size += piece.length;
    if (this.ends !== undefined) this.ends.tail = lastOf(this.ends.tail, piece);
    else {
      this.pieces.push(piece);
      if (this.size > this.limit) this.forget();
    }
  }

  private forget(): void {
    const line = Buffer.concat(this.pieces);
    this.ends = { head: Buffer.from(line.subarray(0, ENDS)), tail: Buffer.from(line.subarray(-ENDS)) };
    this.pieces = [];
  }

  private take(): Line {
    const { pieces, size, ends } = this;
    this.pieces = [];
    this.size = 0;
    this.ends = undefined;
    return ends === undefined ? { bytes: Buffer.concat(pieces) } : { size, ...ends };
  }
}

const lastOf = (before: Buffer, piece: Buffer): Buffer =>
  Buffer.from(piece.length >= ENDS ? piece.subarray(-ENDS) : Buffer.concat([before, piece]).subarray(-ENDS));
