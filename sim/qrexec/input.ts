/** The maximum bytes buffered for a service that does not read; beyond it, the caller waits. */
const LIMIT = 1 << 20;

/** A call's standard input as it arrives: readers wait for the next piece, writers for room. */
export class Input implements AsyncIterable<Uint8Array> {
  private readonly pieces: Uint8Array[] = [];
  private bufferedBytes = 0;
  private ended = false;
  private wakeReader: () => void = () => {};
  private wakeWriter: () => void = () => {};

  /** Resolves when there is room for more. */
  async push(piece: Uint8Array): Promise<void> {
    this.pieces.push(piece);
    this.bufferedBytes += piece.length;
    this.wakeReader();
    while (this.bufferedBytes > LIMIT && !this.ended)
      await new Promise<void>((resolve) => {
        this.wakeWriter = resolve;
      });
  }

  /** All input at once; if it is kept open, it does not end with these bytes. */
  static of(bytes: Uint8Array, open = false): Input {
    const input = new Input();
    input.push(bytes);
    if (!open) input.end();
    return input;
  }

  end(): void {
    this.ended = true;
    this.wakeReader();
    this.wakeWriter();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const piece = this.pieces.shift();
      if (piece !== undefined) {
        this.bufferedBytes -= piece.length;
        this.wakeWriter();
        yield piece;
      } else if (this.ended) return;
      else
        await new Promise<void>((resolve) => {
          this.wakeReader = resolve;
        });
    }
  }
}
