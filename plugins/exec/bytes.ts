/** Bytes from a qube as a model gets them: as text that is safe to show, or exactly, in base64. */
import { decodeVisible, finishing, type Static, Type, unfinished } from '../../core/api/index.js';

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

/** Bytes before a cut that are looked at: no sequence that is waited for is longer. */
export const LOOK_BACK = 4096;

const textIn = (bytes: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
const lengthOf = (text: string): number => new TextEncoder().encode(text).length;

/**
 * The length of a page without what the next page completes: a character, a sequence for a terminal, a line end. The whole length
 * if nothing else is left, or if the page does not look like UTF-8.
 */
export function completeLength(page: Uint8Array): number {
  const characters = completeCharacters(page);
  const tail = textIn(page.subarray(Math.max(characters - LOOK_BACK, 0), characters));
  const held = tail.slice(tail.length - unfinished(tail));
  const complete = held.includes('\ufffd') ? characters : characters - lengthOf(held);
  return complete > 0 ? complete : page.length;
}

/** The first byte from `cut` on that does not complete something before it. */
export function completeStart(bytes: Uint8Array, cut: number): number {
  let start = cut;
  while (start - cut < 3 && start < bytes.length && isContinuation(bytes[start]!)) start += 1;
  const before = textIn(bytes.subarray(Math.max(cut - LOOK_BACK, 0), start));
  const rest = textIn(bytes.subarray(start, start + LOOK_BACK));
  return start + lengthOf(rest.slice(0, finishing(before, rest)));
}

const isContinuation = (byte: number): boolean => byte >= 0x80 && byte < 0xc0;

function completeCharacters(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) break;
    if (isContinuation(byte)) continue;
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
