import { describe, expect, test } from 'vitest';
import { denied, exited, FakeQrexec } from '../../test/support/fake-host.js';
import { defineStreamService, Refused, step, Type } from '../api/index.js';
import type { Qrexec, QrexecRequest, QrexecResult } from './qrexec.js';
import { streamPort } from './stream.js';

const service = defineStreamService('qmcp.test.Follow', {
  effect: 'read',
  params: Type.Object({ seconds: Type.Integer() }, { additionalProperties: false }),
  invariants: [],
  steps: [step.events({ seconds: '$seconds' })],
  reply: Type.Object({ word: Type.String() }, { additionalProperties: false }),
});
const said = (...words: unknown[]) =>
  words.map((word) => `${JSON.stringify({ ok: true, result: { word } })}\n`).join('');

/** What is heard before it ends, and how it ends. */
async function heard(answer: QrexecResult): Promise<unknown[]> {
  const words: unknown[] = [];
  try {
    for await (const { word } of streamPort(service, new FakeQrexec(() => answer), 5)({ seconds: 9 }))
      words.push(word);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    words.push(error);
  }
  return words;
}

/** A call that goes on until it is stopped; bytes come when the test says. */
class Open implements Qrexec {
  request!: QrexecRequest;
  call(request: QrexecRequest): Promise<QrexecResult> {
    this.request = request;
    return new Promise((resolve) => {
      request.signal?.addEventListener('abort', () =>
        resolve({ ...exited(''), ended: 'aborted', exit: null }),
      );
    });
  }
  says(text: string): void {
    this.request.onStdout?.(Buffer.from(text));
  }
}

describe('a stream service', () => {
  test('a stream is called on dom0, and may take the time it asks for plus the usual timeout', async () => {
    const qrexec = new FakeQrexec(() => exited(said('one')));
    for await (const _ of streamPort(service, qrexec, 5)({ seconds: 9 }));
    expect(qrexec.calls[0]).toMatchObject({
      target: '@adminvm',
      service: 'qmcp.test.Follow',
      timeout: 14,
    });
  });

  test('a stream yields one reply for each line, and ends with the call', async () => {
    expect(await heard(exited(said('one', 'two', 'three')))).toEqual(['one', 'two', 'three']);
  });

  test('a stream yields each reply at once, in whatever pieces the bytes come', async () => {
    const qrexec = new Open();
    const port = streamPort(service, qrexec, 5)({ seconds: 9 })[Symbol.asyncIterator]();
    const first = port.next();
    await Promise.resolve();
    const bytes = said('one', 'twö');
    for (const piece of [bytes.slice(0, 5), bytes.slice(5, 40), bytes.slice(40)]) qrexec.says(piece);
    expect(await first).toEqual({ done: false, value: { word: 'one' } });
    expect(await port.next()).toEqual({ done: false, value: { word: 'twö' } });
    await port.return?.();
  });

  test('the call ends when the caller stops reading the stream', async () => {
    const qrexec = new Open();
    const listening = (async () => {
      for await (const { word } of streamPort(service, qrexec, 5)({ seconds: 9 }))
        if (word === 'two') return word;
    })();
    await Promise.resolve();
    qrexec.says(said('one', 'two', 'three'));
    expect(await listening).toBe('two');
    expect(qrexec.request.signal?.aborted).toBe(true);
  });

  test('a stream ends when its signal is aborted', async () => {
    const qrexec = new Open();
    const stop = new AbortController();
    const listening = (async () => {
      for await (const _ of streamPort(service, qrexec, 5)({ seconds: 9 }, stop.signal));
    })();
    await Promise.resolve();
    qrexec.says(said('one'));
    stop.abort();
    await expect(listening).rejects.toMatchObject({ code: 'failed' });
  });

  test.each<[string, QrexecResult]>([
    ['a denied call', denied],
    ['no output', exited('')],
    ['text that is not a reply', exited('Traceback\n')],
    ['half a line', exited('{"ok":true')],
  ])('%s looks like a service that does not exist', async (_what, answer) => {
    expect(await heard(answer)).toEqual([expect.objectContaining({ code: 'not-found' })]);
  });

  test.each<[string, QrexecResult]>([
    ['is cut off', { ...exited(said('one')), ended: 'overflow', exit: null }],
    ['ends with an exit code', exited(said('one'), 1)],
    ['continues with text that is not a reply', exited(`${said('one')}what\n`)],
    ['ends within a line', exited(`${said('one')}{"ok":true`)],
    ['has a reply outside its contract', exited(said('one', 3))],
  ])('a stream that %s has failed, and its complete replies were yielded', async (_what, answer) => {
    expect(await heard(answer)).toEqual(['one', expect.objectContaining({ code: 'failed' })]);
  });

  test('a stream that says nothing in time is `no-answer`', async () => {
    const late = { ...exited(''), ended: 'timeout', exit: null } as const;
    expect(await heard(late)).toEqual([expect.objectContaining({ code: 'no-answer' })]);
  });

  test('a refusal in the middle of a stream arrives with its code', async () => {
    const frozen = `${JSON.stringify({ ok: false, error: { code: 'frozen' } })}\n`;
    expect(await heard(exited(said('one') + frozen))).toEqual([
      'one',
      expect.objectContaining({ code: 'frozen' }),
    ]);
  });
});
