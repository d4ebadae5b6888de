import { type Port, Refused, type StreamService } from '../api/index.js';
import { Compile } from '../vendor/typebox.js';
import { parseLine, requestedSeconds, resultIn } from './messages.js';
import type { Qrexec } from './qrexec.js';
import { requestOf } from './request.js';
import { lazily } from './values.js';

/** Bytes of all replies of one call together. */
const MAX_STREAM = 4_194_304;
const NEWLINE = 10;

/**
 * The port of a stream service: each line of its output is a reply. The call ends when the caller stops reading. It fails like
 * any other call: without any reply it is `not-found`, and if it breaks off after one it is `failed`.
 */
export function streamPort<S extends StreamService>(service: S, qrexec: Qrexec, timeout: number): Port<S> {
  const reply = lazily(() => Compile(service.reply));
  const port = async function* (params: unknown, signal?: AbortSignal) {
    const controller = new AbortController();
    const lines = new Lines();
    const call = qrexec.call({
      target: '@adminvm',
      service: service.name,
      stdin: requestOf(params),
      signal: signal ? AbortSignal.any([controller.signal, signal]) : controller.signal,
      timeout: timeout + requestedSeconds(params),
      maxBytes: MAX_STREAM,
      onStdout: (bytes) => lines.push(bytes),
    });
    call.then(
      () => lines.end(),
      () => lines.end(),
    );
    try {
      let silent = true;
      for await (const line of lines) {
        const untrusted_reply = parseLine(line);
        if (untrusted_reply === undefined) throw new Refused(silent ? 'not-found' : 'failed');
        silent = false;
        const value = resultIn(untrusted_reply);
        if (!reply().Check(value)) throw new Refused('failed');
        yield value;
      }
      const { ended, exit } = await call;
      if (silent && ended === 'timeout') throw new Refused('no-answer');
      if (silent) throw new Refused('not-found');
      if (ended !== 'exit' || exit !== 0) throw new Refused('failed');
    } finally {
      controller.abort();
      await call.catch(() => {});
    }
  };
  return port as unknown as Port<S>;
}

/** Splits bytes that come in pieces of any size into lines. Bytes after the last newline become the last line. */
class Lines implements AsyncIterable<Uint8Array> {
  private readonly ready: Uint8Array[] = [];
  private rest: Uint8Array = new Uint8Array();
  private ended = false;
  private wake = () => {};

  push(bytes: Uint8Array): void {
    let pending: Uint8Array = Buffer.concat([this.rest, bytes]);
    for (let end = pending.indexOf(NEWLINE); end >= 0; end = pending.indexOf(NEWLINE)) {
      this.ready.push(pending.subarray(0, end + 1));
      pending = pending.subarray(end + 1);
    }
    this.rest = pending;
    this.wake();
  }

  end(): void {
    if (this.rest.length > 0) this.ready.push(this.rest);
    this.ended = true;
    this.wake();
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const line = this.ready.shift();
      if (line !== undefined) yield line;
      else if (this.ended) return;
      else
        await new Promise<void>((resolve) => {
          this.wake = resolve;
        });
    }
  }
}
