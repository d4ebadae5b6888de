/** The reply of a guest service, frame by frame: see guest/PROTOCOL.md. */

const HEADER = 5;
/** Bytes of one frame's payload. */
export const MAX_PAYLOAD = 65_536;

export type Frame =
  | { readonly kind: 'stdout' | 'stderr'; readonly bytes: Uint8Array }
  | { readonly kind: 'reply' | 'refusal'; readonly bytes: Uint8Array };

const KINDS: Readonly<Record<string, Frame['kind']>> = {
  O: 'stdout',
  E: 'stderr',
  X: 'reply',
  R: 'refusal',
};

/** The bytes are not frames: an unknown kind, a payload over the limit, or something after the last frame. */
export class BrokenFraming extends Error {
  override readonly name = 'BrokenFraming';
}

/**
 * Takes bytes in whatever pieces they come and yields whole frames. It holds at most one frame: an output frame that
 * is still arriving waits for its end.
 */
export class FrameDecoder {
  private pending: Uint8Array = new Uint8Array();
  private finished = false;

  /** True when the last frame (`X` or `R`) has come and no byte is left over. */
  get complete(): boolean {
    return this.finished && this.pending.length === 0;
  }

  *push(bytes: Uint8Array): Generator<Frame> {
    this.pending = this.pending.length === 0 ? bytes : Buffer.concat([this.pending, bytes]);
    while (this.pending.length > 0) {
      if (this.finished) throw new BrokenFraming('bytes after the last frame');
      const kind = KINDS[String.fromCharCode(this.pending[0]!)];
      if (kind === undefined) throw new BrokenFraming('unknown kind of frame');
      if (this.pending.length < HEADER) return;
      const length = new DataView(this.pending.buffer, this.pending.byteOffset + 1, 4).getUint32(0);
      if (length > MAX_PAYLOAD) throw new BrokenFraming('frame too long');
      if (this.pending.length < HEADER + length) return;
      const payload = this.pending.subarray(HEADER, HEADER + length);
      this.pending = this.pending.subarray(HEADER + length);
      this.finished = kind === 'reply' || kind === 'refusal';
      yield { kind, bytes: payload };
    }
  }
}
