import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { QrexecClient } from './client.js';
import type { QrexecRequest } from './qrexec.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'qmcp-client-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** A client whose behaviour is a shell script; `$1` is the target, `$2` the service. */
function client(script: string): QrexecClient {
  const path = join(folder, `client-${Math.random().toString(36).slice(2)}`);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return new QrexecClient(path);
}

const request = (changes: Partial<QrexecRequest> = {}): QrexecRequest => ({
  target: 'ai-one',
  service: 'qmcp.test.Say',
  stdin: Buffer.from('{"a":1}'),
  timeout: 20,
  maxBytes: 1024,
  ...changes,
});
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe('a qrexec call', () => {
  test('a call passes target and service as arguments, and the request on standard input', async () => {
    const result = await client('echo "$#|$1|$2"; cat').call(request({ target: '$(id); x' }));
    expect(result).toMatchObject({ ended: 'exit', exit: 0 });
    expect(text(result.stdout)).toBe('2|$(id); x|qmcp.test.Say\n{"a":1}');
  });

  test('a call that cannot start because no file descriptors are left ends like one whose client cannot run', async () => {
    const client = new URL('../../dist/core/ports/client.js', import.meta.url).href;
    const script = `
      import { openSync } from 'node:fs';
      import { QrexecClient } from '${client}';
      const request = { target: 'a', service: 'b', stdin: Buffer.of(), timeout: 9, maxBytes: 9 };
      try { for (;;) openSync('/dev/null'); } catch {}
      const { ended, exit } = await new QrexecClient('true').call(request);
      process.stdout.write(ended + ' ' + exit);`;
    const node = [process.execPath, '--input-type=module', '-e', script];
    const { stdout } = spawnSync('sh', ['-c', 'ulimit -n 60; exec "$@"', 'sh', ...node], {
      encoding: 'utf8',
    });
    expect(stdout).toBe('exit 125');
  });

  test('a call reports the exit code and standard error', async () => {
    const result = await client('echo Request refused >&2; exit 126').call(request());
    expect(result).toMatchObject({ ended: 'exit', exit: 126, stderr: 'Request refused\n' });
  });

  test('a call that is never answered ends after its timeout, even if a grandchild keeps the pipes open', async () => {
    const pid = join(folder, 'grandchild');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const timeIsUp = () => vi.advanceTimersByTime(20_000);
    const result = await client(`sleep 3600 & echo $! > ${pid}; echo ready; wait`).call(
      request({ timeout: 20, onStdout: timeIsUp }),
    );
    expect(result).toMatchObject({ ended: 'timeout', exit: null });
    expect(process.kill(Number(readFileSync(pid, 'utf8')))).toBe(true);
  });

  test('an aborted call kills its client', async () => {
    const controller = new AbortController();
    const pid = join(folder, 'pid');
    const pending = client(`echo $$ > ${pid}; echo ready; exec sleep 3600`).call(
      request({ signal: controller.signal, onStdout: () => controller.abort() }),
    );
    expect(await pending).toMatchObject({ ended: 'aborted', exit: null });
    const number = Number(readFileSync(pid, 'utf8'));
    expect(() => process.kill(number, 0)).toThrow();
  });

  test('a call that is already aborted does not start', async () => {
    const marker = join(folder, 'marker');
    const result = await client(`touch ${marker}`).call(request({ signal: AbortSignal.abort() }));
    expect(result.ended).toBe('aborted');
    expect(() => readFileSync(marker)).toThrow();
  });

  test('a call keeps at most maxBytes, and ends when more come', async () => {
    const result = await client('yes').call(request({ maxBytes: 100_000 }));
    expect(result.ended).toBe('overflow');
    expect(result.stdout.length).toBeLessThanOrEqual(100_000);
  });

  test('with onStdout, output is streamed and not kept', async () => {
    const heard: Uint8Array[] = [];
    const result = await client('printf hello').call(request({ onStdout: (bytes) => heard.push(bytes) }));
    expect(text(Buffer.concat(heard))).toBe('hello');
    expect(result.stdout).toHaveLength(0);
  });

  test('a call survives a callee that does not read its request', async () => {
    const stdin = Buffer.alloc(1_000_000, 'x');
    const result = await client('exec <&-; echo done').call(request({ stdin }));
    expect(result).toMatchObject({ ended: 'exit', exit: 0 });
  });

  test('a call whose client does not exist exits with 125', async () => {
    const result = await new QrexecClient(join(folder, 'nowhere')).call(request());
    expect(result).toMatchObject({ ended: 'exit', exit: 125 });
    expect(result.stderr).toContain('ENOENT');
  });
});
