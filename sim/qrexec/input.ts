/** Bytes held for a service that does not read; beyond that the caller waits. */
const LIMIT = 1 << 20;

/** A call's standard input as it arrives: whoever reads it waits for the next piece, whoever writes it for room. */
export class Input implements AsyncIterable<Uint8Array> {
  private readonly pieces: Uint8Array[] = [];
  private held = 0;
  private ended = false;
  private arrived: () => void = () => {};
  private taken: () => void = () => {};

  /** Resolves when there is room for more. */
  async push(piece: Uint8Array): Promise<void> {
    this.pieces.push(piece);
    this.held += piece.length;
    this.arrived();
    while (this.held > LIMIT && !this.ended)
      await new Promise<void>((resolve) => {
        this.taken = resolve;
      });
  }

  /** All of it at once; held open, it does not end with these bytes. */
  static of(bytes: Uint8Array, open = false): Input {
    const input = new Input();
    input.push(bytes);
    if (!open) input.end();
    return input;
  }

  end(): void {
    this.ended = true;
    this.arrived();
    this.taken();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece !== undefined) {
        this.held -= piece.length;
        this.taken();
        yield piece;
      } else if (this.ended) return;
      else
        await new Promise<void>((resolve) => {
          this.arrived = resolve;
        });
    }
  }
}
