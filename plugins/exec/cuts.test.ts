import { expect, test } from 'vitest';
import { decodeVisible, visible } from '../../core/api/index.js';
import { completeLength, completeStart } from './bytes.js';
import { CommandRecord } from './output-store.js';
import { OutputProgress } from './progress.js';
import { resultOf } from './result.js';

/** Everything that a cut can fall into: characters of each length, sequences of each kind, and line ends. */
const TEXT =
  'aé€😀\u001b[1;31mred\u001b[0m\r\n\u001b]0;a title\u0007b\u001b(Bc\r\n\u001b]8;;https://example.org\u001b\\link\u001b]8;;\u001b\\\u009b2Kd\re\n\tf';
const bytes = Buffer.from(TEXT.repeat(3));
const whole = decodeVisible(bytes).text;

/** The text of all pages, each read from where the one before ended. */
function paged(source: Uint8Array, size: number): string {
  let text = '';
  for (let at = 0; at < source.length; ) {
    const page = source.subarray(at, at + size);
    const length = at + page.length < source.length ? completeLength(page) : page.length;
    expect(length).toBeGreaterThan(0);
    text += decodeVisible(page.subarray(0, length)).text;
    at += length;
  }
  return text;
}

test('pages of any size together show the same text as the whole', () => {
  // The longest sequence of the text has 27 bytes; a page that is shorter cuts it.
  for (let size = 28; size < bytes.length; size += 1)
    expect([size, paged(bytes, size)]).toEqual([size, whole]);
});

test('a page of one byte goes on, also in the middle of a character or of a sequence', () => {
  for (const size of [1, 2, 3]) expect(paged(bytes, size).length).toBeGreaterThan(0);
});

test('a page that is no text is not held back', () => {
  const noise = Buffer.from([0xff, 0x1b, 0xff, 0x80, 0x80, 0x80, 0x80]);
  expect(completeLength(noise)).toBe(7);
  expect(completeLength(Buffer.from('a\r'))).toBe(1);
  expect(completeLength(Buffer.from('\r'))).toBe(1);
  expect(completeLength(Buffer.from(`\u001b]${'x'.repeat(9000)}`))).toBe(9002);
});

test('a text that begins at any byte begins with no part of a character, a sequence or a line end', () => {
  for (let cut = 0; cut < bytes.length; cut += 1) {
    const { text } = decodeVisible(bytes.subarray(completeStart(bytes, cut)));
    expect([cut, whole.endsWith(text)]).toEqual([cut, true]);
    expect(text).not.toContain('\ufffd');
  }
});

test('a long output of clean text is not altered at its cuts, wherever they fall', () => {
  for (let shift = 0; shift < 4; shift += 1) {
    const record = new CommandRecord('ai-one:run1', 1 << 20);
    record.add('stdout', Buffer.from(`${'x'.repeat(shift)}${'😀'.repeat(10_000)}`));
    record.add('stderr', Buffer.from(`${'x'.repeat(shift)}${'é€'.repeat(10_000)}`));
    const result = resultOf(record, { exit: 0, signal: null, timed_out: false });
    expect(result).not.toHaveProperty('altered');
    for (const part of [result.stdout, result.stdout_end, result.stderr, result.stderr_end])
      expect(part).toMatch(/^x{0,3}[😀é€]+$/u);
  }
});

test('progress shows the same text however its bytes are cut', () => {
  const said = (size: number) => {
    const messages: string[] = [];
    const progress = new OutputProgress((message) => messages.push(message));
    for (let at = 0; at < bytes.length; at += size) progress.add('stdout', bytes.subarray(at, at + size));
    progress.end();
    return messages.join('\n').replaceAll('stdout| ', '');
  };
  for (const size of [1, 2, 3, 5, 7, 1000]) expect(said(size)).toBe(visible(bytes.toString('utf8')));
});
