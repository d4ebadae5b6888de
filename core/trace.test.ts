import { afterEach, describe, expect, test, vi } from 'vitest';
import { Refused } from './api/index.js';
import { DEBUG_CHANNELS, parseDebugChannels } from './config/debug.js';
import type { Qrexec, QrexecResult } from './ports/qrexec.js';
import { debug as write } from './process.js';
import type { ServedTool } from './serve/served.js';
import { TracedQrexec, tracedTools } from './trace.js';

const SECRET = 'hunter2';
const bytes = (text: string) => new TextEncoder().encode(text);

function recorder() {
  const lines: string[] = [];
  return { lines, debug: (channel: string, line: string) => lines.push(`${channel}: ${line}`) };
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('QMCP_DEBUG', () => {
  test('writes one escaped line to standard error, and none for a channel that it does not name', () => {
    const stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    vi.stubEnv('QMCP_DEBUG', 'boot');
    write('boot', 'plugin found: a\u001b[2J\nqmcp: b');
    write('calls', 'not this one');
    expect(stderr.mock.calls).toEqual([['qmcp [boot]: plugin found: a\\u{1b}[2J\\nqmcp: b\n']]);
  });

  test('names channels separated by commas, and * names all of them', () => {
    expect([...parseDebugChannels('')]).toEqual([]);
    expect([...parseDebugChannels(' boot, calls,')]).toEqual(['boot', 'calls']);
    expect([...parseDebugChannels('*')]).toEqual(Object.keys(DEBUG_CHANNELS));
  });

  test('refuses an unknown channel and lists the channels there are', () => {
    expect(() => parseDebugChannels('boot,qrexecs')).toThrow(
      'environment: QMCP_DEBUG: unknown channel "qrexecs"; did you mean "qrexec"? the channels are config, boot, qrexec, calls, and * for all of them',
    );
    expect(() => parseDebugChannels('everything')).toThrow(/"everything"; the channels are config, /);
    expect(() => parseDebugChannels('constructor')).toThrow(/unknown channel/);
  });

  test.each([false, true])(
    'shows how a qrexec call ended and never what it carried, whether its output is streamed (%s)',
    async (streamed) => {
      const answer: QrexecResult = {
        ended: 'exit',
        exit: 0,
        stdout: bytes(streamed ? '' : SECRET),
        stderr: SECRET,
      };
      const qrexec: Qrexec = {
        call: async ({ onStdout }) => {
          onStdout?.(bytes(SECRET));
          return answer;
        },
      };
      const { lines, debug } = recorder();
      const heard: Uint8Array[] = [];
      const result = await new TracedQrexec(qrexec, debug).call({
        target: 'ai-one',
        service: 'qmcp.exec.Run',
        stdin: bytes(`{"command":"${SECRET}"}`),
        timeout: 9,
        maxBytes: 100,
        ...(streamed && { onStdout: (piece: Uint8Array) => heard.push(piece) }),
      });
      expect(result).toBe(answer);
      expect(heard).toHaveLength(streamed ? 1 : 0);
      expect(lines).toEqual([
        'qrexec: #1 qmcp.exec.Run on ai-one: started, 21 bytes of input, 9 s at most',
        'qrexec: #1 qmcp.exec.Run on ai-one: exit code 0, 7 bytes of output',
      ]);
    },
  );

  test('shows how a tool call ended and never its arguments, its result or its error', async () => {
    const { lines, debug } = recorder();
    const context = { signal: new AbortController().signal, progress: () => {} };
    const tool = { name: 'exec_run' } as ServedTool['tool'];
    const answers = [
      async () => ({ stdout: SECRET }),
      async () => Promise.reject(new Refused('not-permitted', { problem: SECRET })),
      async () => Promise.reject(new Error(SECRET)),
    ];
    for (const call of answers) {
      const [traced] = tracedTools([{ plugin: 'exec', tool, call }], debug);
      const ends = await traced!.call({ command: SECRET }, context).then(
        (output) => output.stdout,
        (error: Error) => error.message,
      );
      expect([SECRET, 'not-permitted']).toContain(ends);
    }
    expect(lines).toEqual([
      'calls: #1 exec_run: started',
      'calls: #1 exec_run: done',
      'calls: #1 exec_run: started',
      'calls: #1 exec_run: refused, not-permitted',
      'calls: #1 exec_run: started',
      'calls: #1 exec_run: refused, failed',
    ]);
  });
});
