/**
 * What QMCP_DEBUG shows of calls. It never shows what a call carries: arguments, results and output can hold secrets, and are
 * not the operator's.
 */
import { Refused } from './api/index.js';
import type { DebugChannel } from './config/debug.js';
import type { Qrexec, QrexecRequest, QrexecResult } from './ports/qrexec.js';
import type { ServedTool } from './serve/served.js';

export type Debug = (channel: DebugChannel, line: string) => void;

/** The same calls, each with a line when it starts and one when it ends. */
export class TracedQrexec implements Qrexec {
  private count = 0;

  constructor(
    private readonly qrexec: Qrexec,
    private readonly debug: Debug,
  ) {}

  async call(request: QrexecRequest): Promise<QrexecResult> {
    this.count += 1;
    const { target, service, stdin, timeout, onStdout } = request;
    const name = `#${this.count} ${service} on ${target}`;
    this.debug('qrexec', `${name}: started, ${stdin.length} bytes of input, ${timeout} s at most`);
    let streamed = 0;
    const result = await this.qrexec.call({
      ...request,
      ...(onStdout && {
        onStdout: (bytes: Uint8Array) => {
          streamed += bytes.length;
          onStdout(bytes);
        },
      }),
    });
    const ended = result.ended === 'exit' ? `exit code ${result.exit}` : result.ended;
    this.debug('qrexec', `${name}: ${ended}, ${streamed + result.stdout.length} bytes of output`);
    return result;
  }
}

/** The same tools; each call writes a line when it starts and one when it ends. */
export function tracedTools(tools: readonly ServedTool[], debug: Debug): ServedTool[] {
  let count = 0;
  return tools.map((served) => ({
    ...served,
    call: async (untrusted_input, context) => {
      count += 1;
      const name = `#${count} ${served.tool.name}`;
      debug('calls', `${name}: started`);
      try {
        const output = await served.call(untrusted_input, context);
        debug('calls', `${name}: done`);
        return output;
      } catch (error) {
        debug('calls', `${name}: refused, ${error instanceof Refused ? error.code : 'failed'}`);
        throw error;
      }
    },
  }));
}
