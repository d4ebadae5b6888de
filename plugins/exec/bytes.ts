/** Bytes from a qube as a model gets them: as text that is safe to show, or exactly, in base64. */
import { decodeVisible, type Static, Type } from '../../core/api/index.js';

export const Encoding = Type.Enum(['text', 'base64']);

export interface Content {
  readonly content: string;
  readonly encoding: Static<typeof Encoding>;
  /** Set if the text differs from the bytes; base64 has the exact bytes. */
  readonly altered?: true;
}

export function textOf(bytes: Uint8Array): Content {
  const { text, altered } = decodeVisible(bytes);
  return { content: text, encoding: 'text', ...(altered && { altered }) };
}

export function contentOf(bytes: Uint8Array, encoding: Static<typeof Encoding>): Content {
  return encoding === 'text' ? textOf(bytes) : { content: base64(bytes), encoding };
}

/** Fewer than the most arguments that a function call takes. */
const PIECE = 8192;

export function base64(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += PIECE)
    text += String.fromCharCode(...bytes.subarray(at, at + PIECE));
  return btoa(text);
}

/** Undefined if the text is not base64. */
export function fromBase64(text: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

export function isText(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return !bytes.includes(0);
  } catch {
    return false;
  }
}

/** The length of the page without an incomplete last character; the whole length if the page does not look like UTF-8. */
export function completeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return needs > back && bytes.length > back ? bytes.length - back : bytes.length;
  }
  return bytes.length;
}

/** Collects at most the bytes that a call may send. A qube that sends more is not trusted: see `overflow`. */
export class BoundedBuffer {
  private readonly bytes: Uint8Array;
  private size = 0;
  overflow = false;

  constructor(limit: number) {
    this.bytes = new Uint8Array(limit);
  }

  add(bytes: Uint8Array): void {
    if (this.size + bytes.length > this.bytes.length) this.overflow = true;
    else {
      this.bytes.set(bytes, this.size);
      this.size += bytes.length;
    }
  }

  all(): Uint8Array {
    return this.bytes.subarray(0, this.size);
  }
}
