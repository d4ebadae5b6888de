import type { Qrexec, QrexecRequest, QrexecResult } from '../core/ports/qrexec.js';
import type { SimHost } from '../sim/index.js';
import { Input } from '../sim/qrexec/input.js';

/** The calls of one qube of a simulated host, with the results of `qrexec-client-vm` but without a process for each call. */
export class SimulatedCalls implements Qrexec {
  constructor(
    private readonly sim: SimHost,
    private readonly source: string,
  ) {}

  async call(request: QrexecRequest): Promise<QrexecResult> {
    const { target, service, stdin, keepStdinOpen, signal, timeout, maxBytes, onStdout } = request;
    const controller = new AbortController();
    let ended: QrexecResult['ended'] = 'exit';
    const stop = (why: QrexecResult['ended']) => {
      if (ended !== 'exit') return;
      ended = why;
      controller.abort();
    };
    const onAbort = () => stop('aborted');
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(() => stop('timeout'), timeout * 1000);
    const stdoutChunks: Uint8Array[] = [];
    const stderrChunks: Uint8Array[] = [];
    let left = maxBytes;
    const { source } = this;
    const input = Input.of(stdin, keepStdinOpen);
    const call = this.sim.qrexec.call(
      { source, target, service },
      {
        stdin: input,
        stdout: (bytes) => {
          if (ended !== 'exit') return;
          left -= bytes.length;
          if (left < 0) stop('overflow');
          else if (onStdout) onStdout(bytes);
          else stdoutChunks.push(bytes);
        },
        stderr: (bytes) => stderrChunks.push(bytes),
        signal: controller.signal,
      },
    );
    const cancelled = new Promise<null>((resolve) => {
      controller.signal.addEventListener('abort', () => resolve(null), { once: true });
      if (controller.signal.aborted) resolve(null);
    });
    const exit = await Promise.race([call, cancelled]);
    input.end();
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    return {
      ended,
      exit,
      stdout: Buffer.concat(stdoutChunks),
      stderr: Buffer.concat(stderrChunks).toString('utf8'),
    };
  }
}
