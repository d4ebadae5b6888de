import { spawn } from 'node:child_process';
import type { Qrexec, QrexecRequest, QrexecResult } from './qrexec.js';

/** Bytes of standard error to keep: enough for a person to read. */
const MAX_STDERR = 8192;
/** The exit code of a shell, and of qrexec itself, for something that cannot be executed. */
const CANNOT_RUN = 125;

/**
 * Calls through an executable that behaves like `qrexec-client-vm TARGET SERVICE`. `client` is a path, or a name in PATH. No
 * shell is involved; the target and the service are separate arguments.
 */
export class QrexecClient implements Qrexec {
  constructor(private readonly client: string) {}

  call(request: QrexecRequest): Promise<QrexecResult> {
    const { target, service, stdin, keepStdinOpen, signal, timeout, maxBytes, onStdout } = request;
    return new Promise((resolve) => {
      if (signal?.aborted) {
        resolve({ ended: 'aborted', exit: null, stdout: new Uint8Array(), stderr: '' });
        return;
      }
      const child = spawn(this.client, [target, service], { stdio: 'pipe' });
      const stdout = new BoundedBuffer(maxBytes);
      const stderr = new BoundedBuffer(MAX_STDERR);
      let ended: QrexecResult['ended'] = 'exit';

      const stop = (why: QrexecResult['ended']) => {
        if (ended !== 'exit') return;
        ended = why;
        child.kill('SIGKILL');
        // A grandchild may keep the pipes open after the client is dead. Ignore what it still writes.
        for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      };
      const onAbort = () => stop('aborted');
      const timer = setTimeout(() => stop('timeout'), timeout * 1000);
      signal?.addEventListener('abort', onAbort, { once: true });

      const settle = (exit: number | null, message?: string) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        resolve({
          ended,
          exit: ended === 'exit' ? exit : null,
          stdout: stdout.bytes(),
          stderr: message ?? new TextDecoder().decode(stderr.bytes()),
        });
      };
      child.once('error', (error) => settle(CANNOT_RUN, error.message));
      child.once('close', (code) => settle(code));
      // If no file descriptors are left, the child has no streams either. The error event says why.
      if (child.pid === undefined) return;

      child.stdout.on('data', (chunk: Buffer) => {
        if (ended !== 'exit') return;
        if (!stdout.fits(chunk)) stop('overflow');
        else if (onStdout) stdout.count(chunk, () => onStdout(chunk));
        else stdout.keep(chunk);
      });
      child.stderr.on('data', (chunk: Buffer) => stderr.keep(chunk));
      // A callee may answer and close its end without reading everything.
      child.stdin.on('error', () => {});
      // An open input ends when the client or this process ends. If we are killed, that is how a callee learns of it.
      if (keepStdinOpen) child.stdin.write(stdin);
      else child.stdin.end(stdin);
    });
  }
}

/** Keeps the beginning of a stream, up to a limit. */
class BoundedBuffer {
  private readonly chunks: Uint8Array[] = [];
  private left: number;

  constructor(limit: number) {
    this.left = limit;
  }

  fits(chunk: Uint8Array): boolean {
    return chunk.length <= this.left;
  }

  count(chunk: Uint8Array, then: () => void): void {
    this.left -= chunk.length;
    then();
  }

  keep(chunk: Uint8Array): void {
    const taken = chunk.subarray(0, this.left);
    if (taken.length === 0) return;
    this.count(taken, () => this.chunks.push(taken));
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.chunks);
  }
}
