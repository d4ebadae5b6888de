import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeVisible, prefixLines, visible } from './untrusted.js';

/** Anything a terminal or a reader could be fooled with, between plain words. */
const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    ...[
      '\u001b[2J',
      '\u001b]0;title\u0007',
      '\u001b]8;;http://x\u001b\\',
      '\u009b31m',
      '\u0090q',
      '\u001b',
      '\r',
    ],
    ...[
      '\r\n',
      '\b',
      '\u0085',
      '\u2028',
      '\u202e',
      '\u2066',
      '\u200b',
      '\u200d',
      '\ufeff',
      '\u00ad',
      '\u3164',
    ],
    ...['\u{e0041}', '\ufe0f', '\u{e0100}', '\u115f', '\u034f', '\ud800', '\u0007', '\u007f', '\0'],
  ),
);
const text = fc.array(nasty).map((parts) => parts.join(''));

// ATTACK 27
describe('text from a qube', () => {
  test('text from a qube has no invisible characters after cleaning', () => {
    fc.assert(
      fc.property(text, (untrusted) => {
        expect(visible(untrusted).replace(/[\n\t]/g, '')).not.toMatch(
          /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u,
        );
      }),
    );
  });

  test('cleaning a text twice is the same as once', () => {
    fc.assert(
      fc.property(text, (untrusted) => {
        expect(visible(visible(untrusted))).toBe(visible(untrusted));
      }),
    );
  });

  test('cleaning keeps every letter of plain text in any script', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('abc', 'äß', 'łó', '日本', 'שלום', '\n', '\t', ' ', '🙂', '{"ok":true}')),
        (parts) => {
          const plain = parts.join('');
          expect(decodeVisible(Buffer.from(plain))).toEqual({ text: plain, altered: false });
        },
      ),
    );
  });

  test.each([
    ['colours', '\u001b[1;31mred\u001b[0m', 'red'],
    ['a title and a link', '\u001b]0;owned\u0007a\u001b]8;;http://x\u001b\\b\u001b]8;;\u001b\\', 'ab'],
    ['one-byte controls', '\u009b31mred\u009d0;t\u009c!', 'red!'],
    ['a title that never ends takes its line and no more', '\u001b]0;a\nb', '\nb'],
    ['a line that is written over', 'one\rtwo\r\nthree\n', 'one\ntwo\nthree\n'],
    ['turned-around text', 'a\u202eb\u2066c', 'abc'],
    ['letters without a shape', 'a\u200b\u3164\u{e0041}\u00ad\ufe0fb', 'ab'],
  ])('cleaning removes %s', (_what, untrusted, left) => {
    expect(visible(untrusted)).toBe(left);
    expect(decodeVisible(Buffer.from(untrusted))).toEqual({ text: left, altered: true });
  });

  test('text is marked as altered when the bytes are not valid UTF-8', () => {
    expect(decodeVisible(Buffer.from([0x61, 0xff, 0x62]))).toEqual({ text: 'a\ufffdb', altered: true });
    expect(decodeVisible(Buffer.from('\ufeffa'))).toEqual({ text: 'a', altered: true });
  });

  test('the time of cleaning is proportional to the length of the text', () => {
    for (const untrusted of ['\u001b]', '\u001b[', '\u0090', '\r', '\u001b]0;a\u001b'])
      expect(visible(untrusted.repeat(200_000)).length).toBeLessThan(1_000_000);
  });
});

describe('text from a qube inside our own messages', () => {
  test('every line of quoted text starts with its source', () => {
    expect(prefixLines('stdout', 'a\nb\n')).toBe('stdout| a\nstdout| b');
    fc.assert(
      fc.property(text, (untrusted) => {
        for (const line of prefixLines('stdout', untrusted).split('\n'))
          expect(line.startsWith('stdout| ')).toBe(true);
      }),
    );
  });
});
