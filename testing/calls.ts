import type { Qrexec, QrexecRequest, QrexecResult } from '../core/ports/qrexec.js';
import type { SimHost } from '../sim/index.js';
import { Input } from '../sim/qrexec/input.js';

/** The calls of one qube of a simulated host, without a process for each: what `qrexec-client-vm` in it would come to. */
export class CallsOf implements Qrexec {
  constructor(
    private readonly sim: SimHost,
    private readonly source: string,
  ) {}

  async call(request: QrexecRequest): Promise<QrexecResult> {
    const {
      target,
      service,
      stdin,
      keepStdinOpen: holdsStdin,
      signal,
      timeout,
      maxBytes,
      onStdout,
    } = request;
    const over = new AbortController();
    let ended: QrexecResult['ended'] = 'exit';
    const stop = (why: QrexecResult['ended']) => {
      if (ended !== 'exit') return;
      ended = why;
      over.abort();
    };
    const onAbort = () => stop('aborted');
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = setTimeout(() => stop('timeout'), timeout * 1000);
    const kept: Uint8Array[] = [];
    const said: Uint8Array[] = [];
    let left = maxBytes;
    const { source } = this;
    const input = Input.of(stdin, holdsStdin);
    const call = this.sim.qrexec.call(
      { source, target, service },
      {
        stdin: input,
        stdout: (bytes) => {
          if (ended !== 'exit') return;
          left -= bytes.length;
          if (left < 0) stop('overflow');
          else if (onStdout) onStdout(bytes);
          else kept.push(bytes);
        },
        stderr: (bytes) => said.push(bytes),
        signal: over.signal,
      },
    );
    const gone = new Promise<null>((resolve) => {
      over.signal.addEventListener('abort', () => resolve(null), { once: true });
      if (over.signal.aborted) resolve(null);
    });
    const exit = await Promise.race([call, gone]);
    input.end();
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    return { ended, exit, stdout: Buffer.concat(kept), stderr: Buffer.concat(said).toString('utf8') };
  }
}
