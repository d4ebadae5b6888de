/**
 * Text that somebody else chose: what a qube printed, the name of a file in it. It is shown to models and on terminals, so
 * nothing in it may be invisible, move a cursor or turn text around. Everything that shows such text gets it from here.
 */
import { Type } from '../vendor/typebox.js';
import { frozen } from './internal/frozen.js';

/**
 * Sequences a terminal acts upon, whole: strings (OSC, DCS, SOS, PM, APC) up to their terminator or the end of the line,
 * CSI with its parameters, every other escape. What would be left of one after its first byte is noise.
 */
const STRINGS =
  /(?:\u001b[\]PX^_]|[\u0090\u0098\u009d-\u009f])[^\u0007\u001b\u009c\n\r]*(?:\u0007|\u009c|\u001b\\)?/g;
const CONTROLS = /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|\u001b[ -/]*[0-~]?/g;
/** Ends of lines, and the carriage return with which a progress bar starts its line anew. */
const LINE_ENDS = /\r\n|[\r\v\f\u0085\p{Zl}\p{Zp}]/gu;
/** Controls, formats (bidi, zero width, tags), private and unassigned characters, and letters that have no shape. */
const UNSEEN = /[\p{C}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** The text without what cannot be seen; of the controls only newline and tab stay. */
export function visible(untrusted_text: string): string {
  return untrusted_text
    .replace(STRINGS, '')
    .replace(CONTROLS, '')
    .replace(LINE_ENDS, '\n')
    .replace(UNSEEN, (character) => (character === '\n' || character === '\t' ? character : ''));
}

export interface Seen {
  readonly text: string;
  /** The text does not say exactly what the bytes were: something is left out, or was no UTF-8. */
  readonly altered: boolean;
}

/** Bytes as text that can be shown. */
export function seen(untrusted_bytes: Uint8Array): Seen {
  const decoded = new TextDecoder('utf-8', { ignoreBOM: true }).decode(untrusted_bytes);
  const text = visible(decoded);
  return { text, altered: text !== decoded || decoded.includes('\ufffd') };
}

/**
 * Somebody else's text in a message of ours: every line of it says whose it is, so none can pass for one of ours.
 *
 *     quoted('stdout', 'a\nb')  →  'stdout| a\nstdout| b'
 */
export function quoted(whose: string, untrusted_text: string): string {
  const lines = visible(untrusted_text).replace(/\n$/, '').split('\n');
  return lines.map((line) => `${whose}| ${line}`).join('\n');
}

/** A field of a result that holds such text. */
export const GuestText = frozen(Type.String());

/** The field of a result that says which others hold such text. */
export const Untrusted = frozen(Type.Array(Type.String()));
