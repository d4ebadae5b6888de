import { describe, expect, test } from 'vitest';
import { denied, exited, FakeQrexec, ok, refused } from '../../test/support/fake-host.js';
import { serviceOf } from '../../test/support/plugins.js';
import { Refused } from '../api/index.js';
import { dom0Port } from './dom0.js';
import type { QrexecResult } from './qrexec.js';

const service = serviceOf('test');

async function outcome(answer: QrexecResult): Promise<unknown> {
  try {
    return await dom0Port(service, new FakeQrexec(() => answer), 5)('ai-one', {});
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return error.data === undefined ? error.code : [error.code, error.data];
  }
}

describe('a call to dom0', () => {
  test('a target service is called on its qube with the name as argument, and with one JSON object', async () => {
    const qrexec = new FakeQrexec(() => ok({ word: 'hello' }));
    expect(await dom0Port(service, qrexec, 5)('ai-one', {})).toEqual({ word: 'hello' });
    const [call] = qrexec.calls;
    expect(call).toMatchObject({ target: 'ai-one', service: 'qmcp.test.Say+ai-one', timeout: 5 });
    expect(Buffer.from(call!.stdin).toString()).toBe('{}');
  });

  test('a call may take the time its parameters ask for plus the usual timeout', async () => {
    const qrexec = new FakeQrexec(() => ok({ word: '' }));
    await dom0Port(service, qrexec, 5)('ai-one', { timeout: 60 } as never);
    expect(qrexec.calls[0]!.timeout).toBe(65);
  });

  test.each(['@adminvm', '@dispvm', '--help', '', 'a b', 'x'.repeat(32), 'ai-one\n'])(
    "no call is made on %j, which is not a qube's name",
    async (name) => {
      const qrexec = new FakeQrexec(() => ok({ word: '' }));
      await expect(dom0Port(service, qrexec, 5)(name, {})).rejects.toMatchObject({ code: 'invalid-request' });
      expect(qrexec.calls).toEqual([]);
    },
  );

  test('no call is made when the request is too long', async () => {
    const qrexec = new FakeQrexec(() => ok({ word: '' }));
    const params = { text: 'x'.repeat(65_536) } as never;
    await expect(dom0Port(service, qrexec, 5)('ai-one', params)).rejects.toMatchObject({
      code: 'invalid-request',
    });
    expect(qrexec.calls).toEqual([]);
  });

  test.each<[string, QrexecResult]>([
    ['a call denied by policy', denied],
    ['a missing service', exited('', 127)],
    ['a service that fails after a complete reply', exited('{"ok":true,"result":{"word":"x"}}\n', 1)],
    ['no output', exited('')],
    ['text that is not a reply', exited('Traceback (most recent call last)\n')],
    ['half a line', exited('{"ok":true,"result":{"word"')],
    ['a line without a newline', exited('{"ok":true,"result":{"word":"x"}}')],
    ['two lines', exited('{"ok":true,"result":{"word":"x"}}\n{}\n')],
    ['bytes that are not UTF-8', exited(Uint8Array.of(0xff, 0xfe, 10))],
    ['a list', exited('[]\n')],
  ])('%s looks like a qube that does not exist', async (_what, answer) => {
    expect(await outcome(answer)).toBe('not-found');
  });

  test.each<[string, QrexecResult]>([
    ['a result that does not fit the reply schema', ok({ word: 3 })],
    ['a result with an unknown key', ok({ word: 'x', host: 'secret' })],
    ['a code outside the closed set', refused('vault-is-running')],
    ['a reply without `ok`', exited('{"result":{"word":"x"}}\n')],
    ['too much output', { ended: 'overflow', exit: null, stdout: Buffer.alloc(9), stderr: '' }],
  ])('%s is `failed`, and nothing of it is passed on', async (_what, answer) => {
    expect(await outcome(answer)).toBe('failed');
  });

  test('a call that is not answered in time is `no-answer`, which dom0 itself cannot say', async () => {
    const late = { ended: 'timeout', exit: null, stdout: Buffer.alloc(0), stderr: '' } as const;
    expect(await outcome(late)).toBe('no-answer');
    expect(await outcome(refused('no-answer'))).toBe('failed');
  });

  test('a refusal from dom0 arrives with its code and data', async () => {
    expect(await outcome(refused('conflict'))).toBe('conflict');
    expect(await outcome(refused('failed', { unfinished: true }))).toEqual(['failed', { unfinished: true }]);
  });
});
