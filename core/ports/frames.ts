/** The frames between this server and a guest service: see guest/PROTOCOL.md. */

import { LIMITS } from '../api/generated/limits.js';

const HEADER = 5;

export type Frame =
  | { readonly kind: 'stdout' | 'stderr'; readonly bytes: Uint8Array }
  | { readonly kind: 'reply' | 'refusal'; readonly bytes: Uint8Array };

const KINDS: Readonly<Record<string, Frame['kind']>> = {
  O: 'stdout',
  E: 'stderr',
  X: 'reply',
  R: 'refusal',
};

/** The bytes are not valid frames: an unknown kind, a payload over the limit, or bytes after the last frame. */
export class BrokenFraming extends Error {
  override readonly name = 'BrokenFraming';
}

/**
 * Decodes bytes in pieces of any size. Yields output at once and without a copy, so a frame of output may come in several
 * pieces; yields the last frame complete. It holds at most one header and the last frame.
 */
export class FrameDecoder {
  private readonly header = Buffer.alloc(HEADER);
  /** Bytes of the header received so far, and bytes of the payload still to come. */
  private headerBytes = 0;
  private payloadLeft = 0;
  private readonly last: Uint8Array[] = [];
  private finished = false;

  /** True once the last frame (`X` or `R`) is complete. */
  get complete(): boolean {
    return this.finished;
  }

  *push(untrusted_bytes: Uint8Array): Generator<Frame> {
    let rest = untrusted_bytes;
    while (rest.length > 0) {
      if (this.finished) throw new BrokenFraming('bytes after the last frame');
      if (this.headerBytes < HEADER) rest = this.readHeader(rest);
      if (this.headerBytes < HEADER) return;
      const kind = this.kind();
      const piece = rest.subarray(0, this.payloadLeft);
      rest = rest.subarray(piece.length);
      this.payloadLeft -= piece.length;
      if (this.payloadLeft === 0) this.headerBytes = 0;
      if (kind === 'stdout' || kind === 'stderr') {
        if (piece.length > 0) yield { kind, bytes: piece };
        continue;
      }
      this.last.push(piece);
      this.finished = this.payloadLeft === 0;
      if (this.finished) yield { kind, bytes: Buffer.concat(this.last) };
    }
  }

  /** Reads bytes of the header; returns the rest. */
  private readHeader(bytes: Uint8Array): Uint8Array {
    const taken = bytes.subarray(0, HEADER - this.headerBytes);
    this.header.set(taken, this.headerBytes);
    this.headerBytes += taken.length;
    this.kind();
    if (this.headerBytes === HEADER) this.payloadLeft = this.header.readUInt32BE(1);
    if (this.payloadLeft > LIMITS.frame_bytes) throw new BrokenFraming('a frame that is too long');
    return bytes.subarray(taken.length);
  }

  private kind(): Frame['kind'] {
    const [byte] = this.header;
    const kind = KINDS[String.fromCharCode(byte!)];
    // What a program's author sees first: one that prints without frames.
    if (kind === undefined)
      throw new BrokenFraming(`byte 0x${byte!.toString(16).padStart(2, '0')} where a frame was expected`);
    return kind;
  }
}

/** The standard input of a program in the qube as frames; an empty frame ends it. */
export function inputFrames(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += LIMITS.frame_bytes)
    frames.push(inputFrame(bytes.subarray(start, start + LIMITS.frame_bytes)));
  return [...frames, inputFrame(new Uint8Array())];
}

function inputFrame(payload: Uint8Array): Uint8Array {
  const header = Buffer.alloc(HEADER, 'I');
  header.writeUInt32BE(payload.length, 1);
  return Buffer.concat([header, payload]);
}
