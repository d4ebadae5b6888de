/**
 * Text from somebody else: the output of a qube, the name of a file in it. Models read it and terminals show it, so it must
 * not contain invisible characters, move a cursor or change the direction of text. All code that shows such text uses this.
 */
import { Type } from '../vendor/typebox.js';
import { frozen } from './internal/frozen.js';

/**
 * Complete terminal sequences: strings (OSC, DCS, SOS, PM, APC) up to their terminator or the end of the line, CSI with its
 * parameters, and every other escape. Without this, the rest of a sequence would stay in the text as noise.
 */
const STRINGS =
  /(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c\n\r]*(?:\u0007|\u009c|\u001b\\)?/g;
const CONTROLS = /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|\u001b[ -/]*[0-~]?/g;
/** The same sequences without their end, and half of a line end: what follows decides what they are. */
const UNFINISHED =
  /(?:\r|(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c\n\r]*\u001b?|(?:\u001b\[|\u009b)[0-?]*[ -/]*|\u001b[ -/]*)$/;
/** One of them from its beginning. */
const FIRST = new RegExp(`^(?:${STRINGS.source}|${CONTROLS.source}|\\r\\n?)`);
/** Characters of a sequence that is waited for; a longer one is shown in two parts. */
const MOST_UNFINISHED = 1024;
/** Ends of lines, and the carriage return with which a progress bar restarts its line. */
const LINE_ENDS = /\r\n|[\r\v\f\u0085\p{Zl}\p{Zp}]/gu;
/** Controls, formats (bidi, zero width, tags), private and unassigned characters, and letters that have no shape. */
const UNSEEN = /[\p{C}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** Removes invisible characters from a text. Of the control characters, only newline and tab stay. */
export function visible(untrusted_text: string): string {
  return untrusted_text
    .replace(STRINGS, '')
    .replace(CONTROLS, '')
    .replace(LINE_ENDS, '\n')
    .replace(UNSEEN, (character) => (character === '\n' || character === '\t' ? character : ''));
}

/** The number of characters at the end of a text that the text after it belongs to. */
export function unfinished(untrusted_text: string): number {
  return UNFINISHED.exec(untrusted_text.slice(-MOST_UNFINISHED))?.[0].length ?? 0;
}

/** The number of characters at the beginning of a text that belong to the end of the text before it. */
export function finishing(untrusted_before: string, untrusted_text: string): number {
  const begun = unfinished(untrusted_before);
  if (begun === 0) return 0;
  const [whole = ''] =
    FIRST.exec(untrusted_before.slice(-begun) + untrusted_text.slice(0, MOST_UNFINISHED)) ?? [];
  return Math.max(whole.length - begun, 0);
}

export interface VisibleText {
  readonly text: string;
  /** The text differs from the bytes: something was removed, or was not valid UTF-8. */
  readonly altered: boolean;
}

/** Decodes bytes into text that is safe to show. */
export function decodeVisible(untrusted_bytes: Uint8Array): VisibleText {
  const decoded = new TextDecoder('utf-8', { ignoreBOM: true }).decode(untrusted_bytes);
  const text = visible(decoded);
  return { text, altered: text !== decoded || decoded.includes('\ufffd') };
}

/**
 * Puts the source before every line of somebody else's text, so that no line can pass for one of our own messages.
 *
 *     prefixLines('stdout', 'a\nb')  →  'stdout| a\nstdout| b'
 */
export function prefixLines(source: string, untrusted_text: string): string {
  const lines = visible(untrusted_text).replace(/\n$/, '').split('\n');
  return lines.map((line) => `${source}| ${line}`).join('\n');
}

/** A field of a result that holds such text. */
export const GuestText = frozen(Type.String());

/** The field of a result that names the fields with such text. */
export const Untrusted = frozen(Type.Array(Type.String()));
