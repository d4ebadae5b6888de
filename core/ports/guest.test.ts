import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { denied, exited, FakeQrexec, frame } from '../../test/support/fake-host.js';
import { guestService } from '../../test/support/plugins.js';
import { REFUSALS, Refused } from '../api/index.js';
import { BrokenFraming, type Frame, FrameDecoder } from './frames.js';
import { guestPort } from './guest.js';
import type { QrexecResult } from './qrexec.js';

const done = frame('X', '{"exit":0}');

async function outcome(answer: QrexecResult): Promise<unknown> {
  const heard: string[] = [];
  try {
    const result = await guestPort(guestService, new FakeQrexec(() => answer), 5)(
      'ai-one',
      { command: 'true' },
      { onOutput: (stream, bytes) => heard.push(`${stream}:${Buffer.from(bytes)}`) },
    );
    return [result, ...heard];
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return heard.length > 0 ? [error.code, ...heard] : error.code;
  }
}

describe('a refusal in a qube', () => {
  const asking = { ...guestService, problems: { full: ['/path', 'is full'] } } as const;
  const said = async (refusal: object) => {
    const qrexec = new FakeQrexec(() => exited(frame('R', JSON.stringify(refusal))));
    const error = await guestPort(asking, qrexec, 5)('ai-one', { command: 'true' }).catch((error) => error);
    return [error.code, error.data];
  };

  test("a refusal from a qube is described in the words of the service, never in the qube's own", async () => {
    expect(await said({ code: 'conflict', problem: 'full' })).toEqual([
      'conflict',
      { problems: [{ at: '/path', problem: 'is full' }] },
    ]);
    for (const problem of ['no-such-file', 'toString', 'is full', 7])
      expect(await said({ code: 'conflict', problem })).toEqual(['conflict', undefined]);
  });
});

describe('a call into a qube', () => {
  test("a guest call sends the request on one line, then the program's input in frames", async () => {
    const qrexec = new FakeQrexec(() => exited(done));
    await guestPort(guestService, qrexec, 5)('ai-one', { command: 'cat' }, { stdin: Buffer.from('\0in\n') });
    expect(Buffer.from(qrexec.calls[0]!.stdin).toString()).toBe(
      '{"command":"cat"}\nI\0\0\0\u0004\0in\nI\0\0\0\0',
    );
    expect(qrexec.calls[0]!.keepStdinOpen).toBe(true);
    expect(qrexec.calls[0]).toMatchObject({
      target: 'ai-one',
      service: 'qmcp.guests.Run+ai-one',
      timeout: 65,
    });
  });

  test('a program that prints plain JSON is refused with the byte that is no frame, and with nothing else of it', async () => {
    const plain = new FakeQrexec(() => exited(Buffer.from('{"exit":0,"secret":1}')));
    const error = await guestPort(
      guestService,
      plain,
      5,
    )('ai-one', { command: 'x' }).catch((problem) => problem);
    expect([error.code, error.data]).toEqual([
      'failed',
      { problems: [{ at: '/', problem: 'was answered with byte 0x7b where a frame was expected' }] },
    ]);
  });

  test('a qube that sends more than a call may carry is cut off, and the refusal says so', async () => {
    const flood = { ended: 'overflow', exit: null, stdout: new Uint8Array(), stderr: '' } as const;
    const error = await guestPort(
      guestService,
      new FakeQrexec(() => flood),
      5,
    )('ai-one', { command: 'yes' }).catch((problem) => problem);
    expect([error.code, error.data]).toEqual([
      'failed',
      { problems: [{ at: '/', problem: 'printed more than 268435456 bytes and was stopped' }] },
    ]);
  });

  test('a guest call passes output on as it comes, and ends with the reply', async () => {
    const answer = exited(Buffer.concat([frame('O', 'out'), frame('E', 'err'), done]));
    expect(await outcome(answer)).toEqual([{ exit: 0 }, 'stdout:out', 'stderr:err']);
  });

  test('a guest call that is denied looks like a call to a qube that does not exist, and one not answered in time is `no-answer`', async () => {
    expect(await outcome(denied)).toBe('not-found');
    expect(await outcome(exited('', 127))).toBe('not-found');
    expect(await outcome(exited(''))).toBe('not-found');
    const late = { ended: 'timeout', exit: null, stderr: '' } as const;
    expect(await outcome({ ...late, stdout: Buffer.alloc(0) })).toBe('no-answer');
    expect(await outcome({ ...late, stdout: frame('O', 'so far') })).toEqual(['failed', 'stdout:so far']);
  });

  test("a refusal from a qube has one of the codes for qubes, or `failed`, and never a code of dom0's", async () => {
    const said = ['invalid-request', 'not-found', 'not-permitted', 'conflict'];
    for (const code of Object.keys(REFUSALS))
      expect([code, await outcome(exited(frame('R', JSON.stringify({ code }))))]).toEqual([
        code,
        said.includes(code) ? code : 'failed',
      ]);
    expect(await outcome(exited(frame('R', '{"code":"haha"}')))).toBe('failed');
    expect(await outcome(exited(frame('R', 'null')))).toBe('failed');
  });

  test.each<[string, Uint8Array]>([
    ['stops in the middle of a frame', done.subarray(0, 7)],
    ['stops without a last frame', frame('O', 'out')],
    ['has an unknown kind', frame('Z', '')],
    ['announces more than a frame may hold', Buffer.from([0x4f, 0, 1, 0, 1])],
    ['goes on after the last frame', Buffer.concat([done, frame('O', 'more')])],
    ['has a reply that is not JSON', frame('X', '{')],
    ['has a reply outside the schema', frame('X', '{"exit":0,"as":"root"}')],
    ['is plain text', Buffer.from('Hello, I am a shell\n')],
  ])('a guest call whose output %s has failed', async (_what, bytes) => {
    expect([await outcome(exited(bytes))].flat()[0]).toBe('failed');
  });

  test('a guest call is aborted as soon as the framing breaks', async () => {
    let aborted = false;
    const qrexec = new FakeQrexec((request) => {
      request.onStdout!(Buffer.from('?'));
      aborted = request.signal!.aborted;
      return exited('');
    });
    const call = guestPort(guestService, qrexec, 5)('ai-one', { command: 'x' });
    await expect(call).rejects.toMatchObject({ code: 'failed' });
    expect(aborted).toBe(true);
  });
});

/** Each kind with its bytes, pieces of one kind in a row as one. */
function joined(frames: readonly { readonly kind: string; readonly bytes: Uint8Array }[]): string[] {
  const runs: [kind: string, hex: string][] = [];
  for (const { kind, bytes } of frames.filter((one) => one.bytes.length > 0)) {
    if (runs.at(-1)?.[0] !== kind) runs.push([kind, '']);
    runs.at(-1)![1] += Buffer.from(bytes).toString('hex');
  }
  return runs.map((run) => run.join(' '));
}

describe('frames', () => {
  const anyFrame = fc.record({
    kind: fc.constantFrom('O', 'E'),
    payload: fc.uint8Array({ maxLength: 200 }),
  });

  test('frames decode the same however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(anyFrame), fc.array(fc.nat({ max: 50 })), (frames, cuts) => {
        const bytes = Buffer.concat([...frames.map(({ kind, payload }) => frame(kind, payload)), done]);
        const decoder = new FrameDecoder();
        const got: Frame[] = [];
        let from = 0;
        for (const cut of cuts) {
          got.push(...decoder.push(bytes.subarray(from, from + cut)));
          from = Math.min(from + cut, bytes.length);
        }
        got.push(...decoder.push(bytes.subarray(from)));
        expect(decoder.complete).toBe(true);
        const output = frames.map(({ kind, payload }) => ({
          kind: kind === 'O' ? 'stdout' : 'stderr',
          bytes: payload,
        }));
        expect(joined(got)).toEqual(joined([...output, { kind: 'reply', bytes: Buffer.from('{"exit":0}') }]));
      }),
    );
  });

  test('output is yielded at once, and a reply only when it is complete', () => {
    const decoder = new FrameDecoder();
    const pieces = [
      frame('O', 'output').subarray(0, 8),
      frame('O', 'output').subarray(8),
      done.subarray(0, 9),
    ];
    expect(pieces.flatMap((piece) => joined([...decoder.push(piece)]))).toEqual([
      'stdout 6f7574',
      'stdout 707574',
    ]);
    expect(decoder.complete).toBe(false);
    expect([...decoder.push(done.subarray(9))]).toHaveLength(1);
    expect(decoder.complete).toBe(true);
  });

  test('arbitrary bytes decode to frames or to BrokenFraming, never to another error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        try {
          for (const { bytes: payload } of new FrameDecoder().push(bytes))
            expect(payload.length).toBeLessThan(300);
        } catch (error) {
          expect(error).toBeInstanceOf(BrokenFraming);
        }
      }),
    );
  });
});
