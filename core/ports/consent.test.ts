import { describe, expect, test } from 'vitest';
import { denied, exited, FakeQrexec, ok, refused } from '../../test/support/fake-host.js';
import type { RefusalCode, Refused } from '../api/index.js';
import { Consent } from './consent.js';
import type { QrexecRequest, QrexecResult } from './qrexec.js';
import { inScope } from './scope.js';

const QUESTIONS = new Map([
  ['qmcp.spawn.Kill', { isGuest: false }],
  ['qmcp.spawn.Create', { isGuest: false }],
  ['qmcp.exec.Run', { isGuest: true }],
]);
const LISTED = ok({
  qubes: [
    { name: 'ai-one', state: 'running' },
    { name: 'ai-halted', state: 'halted' },
  ],
});
const late: QrexecResult = { ...exited(''), ended: 'timeout', exit: null };

const request = (service: string, target: string, more: Partial<QrexecRequest> = {}): QrexecRequest => ({
  target,
  service: target === '@adminvm' ? service : `${service}+${target}`,
  stdin: Buffer.from('{}'),
  timeout: 9,
  maxBytes: 999,
  ...more,
});

/** The code of the refusal, or the exit code where the result is passed on; and how many calls it took. */
async function outcome(
  answer: QrexecResult,
  call: QrexecRequest,
  list = LISTED,
  questions: ConstructorParameters<typeof Consent>[1] = QUESTIONS,
): Promise<[RefusalCode | number | null, number]> {
  const qrexec = new FakeQrexec(({ service }) => (service === 'qmcp.inspect.List' ? list : answer));
  const said = await new Consent(qrexec, questions).call(call).then(
    ({ exit }) => exit,
    ({ code }: Refused) => code,
  );
  return [said, qrexec.calls.length];
}

describe('a call that the operator is asked about', () => {
  test('a call that the operator is not asked about passes unchanged, also one that is denied', async () => {
    expect(await outcome(denied, request('qmcp.spawn.Start', 'ai-one'))).toEqual([126, 1]);
  });

  test('a no is `declined` on a qube that the agent can list, and `not-found` on every other name, after the same calls', async () => {
    for (const service of ['qmcp.spawn.Kill', 'qmcp.exec.Run']) {
      expect(await outcome(denied, request(service, 'ai-one'))).toEqual(['declined', 2]);
      for (const name of ['vault', 'no-such-qube'])
        expect(await outcome(denied, request(service, name))).toEqual([126, 2]);
    }
    expect(await outcome(denied, request('qmcp.spawn.Kill', 'ai-halted'))).toEqual(['declined', 2]);
    expect(await outcome(denied, request('qmcp.spawn.Create', '@adminvm'))).toEqual(['declined', 2]);
  });

  test('nobody is asked about a service in a qube that does not run', async () => {
    expect(await outcome(denied, request('qmcp.exec.Run', 'ai-halted'))).toEqual([126, 2]);
  });

  test('in a frozen world nobody is asked, and the call is `frozen`', async () => {
    for (const [service, target] of [
      ['qmcp.spawn.Kill', 'ai-one'],
      ['qmcp.spawn.Create', '@adminvm'],
    ] as const)
      expect(await outcome(denied, request(service, target), refused('frozen'))).toEqual(['frozen', 2]);
  });

  test('a no stays `not-found` where the list itself would ask the operator', async () => {
    const questions = new Map([...QUESTIONS, ['qmcp.inspect.List', { isGuest: false }] as const]);
    expect(await outcome(denied, request('qmcp.spawn.Kill', 'ai-one'), LISTED, questions)).toEqual([126, 1]);
  });

  test('a dialog that nobody answered is `unanswered`, and a call that has begun to answer is not', async () => {
    expect(await outcome(late, request('qmcp.spawn.Kill', 'ai-one'))).toEqual(['unanswered', 1]);
    const onStdout = () => {};
    const begun = { ...late, stdout: Buffer.from('O') };
    expect(await outcome(begun, request('qmcp.exec.Run', 'ai-one', { onStdout }))).toEqual([null, 1]);
    expect(await outcome(late, request('qmcp.exec.Run', 'ai-one', { onStdout }))).toEqual(['unanswered', 1]);
  });

  test('while it waits, the call says that it waits for the operator', async () => {
    const heard: (string | undefined)[] = [];
    await inScope({}, async (scope) => {
      const qrexec = new FakeQrexec(() => {
        heard.push(scope.waitingFor);
        return ok({});
      });
      const consent = new Consent(qrexec, QUESTIONS);
      await consent.call(request('qmcp.spawn.Kill', 'ai-one'));
      await consent.call(request('qmcp.spawn.Start', 'ai-one'));
    });
    expect(heard).toEqual(["the operator's answer", undefined]);
  });
});
