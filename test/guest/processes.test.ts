/**
 * The tools of exec over real MCP, with the Python services that a template ships as real processes: the tests that need
 * processes.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SimHost } from '../../sim/index.js';
import { asShipped, Harness } from '../support/harness.js';
import { QMCP } from '../support/qmcp.js';
import { eventually } from '../support/waiting.js';

let harness: Harness;
let files: string;
let sim: SimHost;
let agent: Agent;
beforeAll(async () => {
  harness = await Harness.start({ prepare: asShipped, guests: 'processes' });
  ({ sim } = harness);
  files = join(harness.folder, 'files');
  mkdirSync(files);
  agent = await Agent.connect();
  await agent.done('qube_spawn', { name: 'ai-one', template: 'ai-debian', start: true });
});
afterAll(async () => {
  await agent.leave();
  await harness.close();
});

type Result = Record<string, unknown> & {
  readonly handle: string;
  readonly content: string;
  readonly next: number | null;
  readonly entries: readonly { readonly name: string }[];
};

/** A client with its own server. */
class Agent {
  private constructor(
    private readonly client: Client,
    readonly pid: number,
  ) {}

  static async connect(): Promise<Agent> {
    const client = new Client({ name: 'guest', version: '0' });
    const args = [QMCP, 'serve', '--client', await sim.client('mcp-control')];
    const transport = new StdioClientTransport({ command: process.execPath, args, stderr: 'ignore' });
    await client.connect(transport, { timeout: 300_000 });
    return new Agent(client, transport.pid!);
  }

  async call(
    name: string,
    args: object,
    options: { signal?: AbortSignal; hear?: (line: string) => void } = {},
  ) {
    const { signal, hear } = options;
    const result = await this.client.callTool(
      { name, arguments: { ...args } },
      {
        timeout: 300_000,
        ...(signal && { signal }),
        ...(hear && { onprogress: ({ message }: { message?: string | undefined }) => hear(message ?? '') }),
      },
    );
    return result.structuredContent as Result & { error?: { code: string; data?: unknown } };
  }

  async done(name: string, args: object, options?: Parameters<Agent['call']>[2]): Promise<Result> {
    const result = await this.call(name, args, options);
    expect([name, result.error]).toEqual([name, undefined]);
    return result;
  }

  leave(): Promise<void> {
    return this.client.close();
  }
}

const me = { qube: 'ai-one', user: userInfo().username };

/** A command that cannot be confused with another, and a check whether a process of it exists. */
let count = 0;
const sleeper = () => {
  count += 1;
  return `sleep 3600${count}.${process.pid}`;
};
const runs = (command: string) =>
  readdirSync('/proc').some((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() === command;
    } catch {
      return false;
    }
  });
const isThere = (command: string) => eventually(() => runs(command)).toBe(true);
/** Other commands measure the time: on a quiet machine, three of them take well under a second. */
async function isGone(command: string): Promise<void> {
  for (let others = 0; others < 3 && runs(command); others += 1)
    await agent.done('exec_run', { ...me, command: 'true' });
  expect(runs(command)).toBe(false);
}

describe('every process of a command is gone before three later commands have ended', () => {
  test('no process survives when the client cancels the call, whatever process groups a shell made', async () => {
    const command = sleeper();
    const cancel = new AbortController();
    const call = agent.call(
      'exec_run',
      { ...me, command: ['bash', '-c', `set -m; trap '' TERM; ${command} & ${command} | cat`] },
      { signal: cancel.signal },
    );
    call.catch(() => {});
    await isThere(command);
    cancel.abort();
    await isGone(command);
    await expect(call).rejects.toThrow();
  });

  test('no process survives when the client and its server exit', async () => {
    const command = sleeper();
    const other = await Agent.connect();
    other.call('exec_run', { ...me, command }).catch(() => {});
    await isThere(command);
    await other.leave(); // the server waits a moment for the answer, then it exits
    await isGone(command);
  });

  test('no process survives when its server is killed and cannot say so', async () => {
    const command = sleeper();
    const other = await Agent.connect();
    other.call('exec_run', { ...me, command }).catch(() => {});
    await isThere(command);
    process.kill(other.pid, 'SIGKILL');
    await isGone(command);
    await other.leave();
  });

  test('no process survives in a disposable either, which itself stays, is counted, and ends like any qube', async () => {
    await agent.done('qube_spawn', { name: 'ai-dvm', template: 'ai-debian' });
    const asked = Buffer.from('admin.vm.property.Set+template_for_dispvms dom0 name ai-dvm\0True');
    expect(Buffer.from(await sim.host.call(asked)).toString()).toBe('0\0');
    const command = sleeper();
    const other = await Agent.connect();
    other.call('disposable_run', { template: 'ai-dvm', user: me.user, command }).catch(() => {});
    await isThere(command);
    process.kill(other.pid, 'SIGKILL');
    await isGone(command);
    await other.leave();
    const disposables = async () =>
      ((await agent.done('qube_list', {})).qubes as { name: string; class: string }[]).filter(
        (one) => one.class === 'DispVM',
      );
    const [left] = await disposables();
    expect(await agent.done('budget_get', {})).toMatchObject({
      lines: expect.arrayContaining([expect.objectContaining({ line: 'running', used: 2 })]),
    });
    await agent.done('qube_kill', { qube: left!.name });
    expect(await disposables()).toEqual([]);
  });

  test('no process survives when another call stops it by the handle in its progress', async () => {
    const command = sleeper();
    let handle = '';
    const heard: string[] = [];
    const call = agent.call(
      'exec_run',
      { ...me, command: `echo on; ${command}` },
      {
        hear: (line) => {
          handle ||= /^handle (\S+)$/.exec(line)?.[1] ?? '';
          heard.push(line);
        },
      },
    );
    await isThere(command);
    await eventually(() => heard).toContain('stdout| on');
    expect(await agent.done('exec_stop', { handle })).toMatchObject({ running: false, signal: 'SIGKILL' });
    await isGone(command);
    expect(await call).toMatchObject({ stdout: 'on\n', exit: null, signal: 'SIGKILL', timed_out: false });
  });

  test('no process survives its timeout, even if it ignores SIGTERM, and its output until then is returned', async () => {
    const command = sleeper();
    let stdout: unknown = '';
    // The command may not have printed within one second; then it gets two, and so on.
    for (let timeout = 1; stdout === '' && timeout < 100; timeout *= 2) {
      const line = `trap '' TERM; echo on; ${command} & ${command}`;
      const result = await agent.done('exec_run', { ...me, command: line, timeout });
      expect(result).toMatchObject({ exit: null, signal: 'SIGKILL', timed_out: true });
      await isGone(command);
      stdout = result.stdout;
    }
    expect(stdout).toBe('on\n');
  });
});

describe('a command in the background', () => {
  test('a background command outlives the server that started it, and another server reads and stops it', async () => {
    const command = sleeper();
    const other = await Agent.connect();
    const { handle } = await other.done('exec_run', {
      ...me,
      command: `echo on; ${command}`,
      background: true,
    });
    await other.leave();
    await isThere(command);
    expect(await agent.done('exec_output', { handle, wait: 60 })).toMatchObject({
      running: true,
      content: 'on\n',
      next: 3,
    });
    expect(await agent.done('exec_stop', { handle })).toMatchObject({ running: false, signal: 'SIGTERM' });
    await isGone(command);
    expect(await agent.done('exec_output', { handle })).toMatchObject({ content: 'on\n', next: null });
  });

  test('a background command that ignores SIGTERM is killed', async () => {
    const command = sleeper();
    const { handle } = await agent.done('exec_run', {
      ...me,
      command: `trap '' TERM; ${command} & while :; do ${command}; done`,
      background: true,
    });
    await isThere(command);
    expect(await agent.done('exec_stop', { handle })).toMatchObject({ running: false, signal: 'SIGKILL' });
    await isGone(command);
  });

  test('a handle of a background command works only with its own qube, and an unknown one is refused like one of a hidden qube', async () => {
    const { handle } = await agent.done('exec_run', { ...me, command: 'true', background: true });
    const job = handle.split(':')[1];
    const said = await Promise.all(
      ['vault', 'no-such-qube', 'ai-debian'].map((qube) =>
        agent.call('exec_output', { handle: `${qube}:${job}` }),
      ),
    );
    for (const one of said) expect(one).toEqual({ error: { code: 'not-found' } });
    expect(await agent.call('exec_output', { handle: 'ai-one:0123456789abcdef' })).toMatchObject({
      error: { code: 'conflict', data: { problems: [{ at: '/handle' }] } },
    });
  });

  test('a background command that floods keeps the beginning of its output, and counts the rest', async () => {
    const { handle } = await agent.done('exec_run', {
      ...me,
      command: 'head -c 20000000 /dev/zero; echo end',
      background: true,
    });
    const end = 8 * 2 ** 20;
    let last = await agent.done('exec_output', { handle, offset: end, wait: 30 });
    while (last.running) last = await agent.done('exec_output', { handle, offset: end, wait: 30 });
    expect(last).toMatchObject({ size: end, dropped: 20_000_004 - end, next: null, exit: 0 });
  });
});

/** The server's memory in MiB. */
const memory = (which: 'VmRSS' | 'VmHWM') =>
  Number(new RegExp(`${which}:\\s+(\\d+)`).exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))![1]) /
  1024;

// ATTACK 27
describe('large output and unusual bytes', () => {
  test('100 MB of output become a result with the beginning and the end, and the server does not grow by it', async () => {
    writeFileSync(`/proc/${agent.pid}/clear_refs`, '5'); // the peak counts from here
    const before = memory('VmRSS');
    const { stdout, stdout_end, handle } = await agent.done('exec_run', {
      ...me,
      command: "head -c 100000000 /dev/zero | tr '\\0' x; echo end",
    });
    expect(stdout).toMatch(/^x{12288}$/);
    expect(stdout_end).toMatch(/^x{4092}end\n$/);
    expect(await agent.done('exec_output', { handle, offset: 8 * 2 ** 20 })).toMatchObject({
      size: 8 * 2 ** 20,
      dropped: 100_000_004 - 8 * 2 ** 20,
      next: null,
    });
    expect(memory('VmHWM') - before).toBeLessThan(80);
  });

  test('10,000 files are listed completely on their pages, in the order of their names', async () => {
    const path = join(files, 'many');
    mkdirSync(path);
    for (let at = 0; at < 10_000; at += 1) writeFileSync(join(path, `f${(at * 7919) % 10_000}`), '');
    const all = Array.from({ length: 10_000 }, (_, at) => `f${at}`).sort();
    for (const [offset, next] of [
      [0, 1000],
      [5000, 6000],
      [9000, null],
    ] as const) {
      const page = await agent.done('file_list', { ...me, path, offset, limit: 1000 });
      expect(page).toMatchObject({ total: 10_000, next });
      expect(page.entries.map(({ name }) => name)).toEqual(all.slice(offset, offset + 1000));
    }
  });

  test('output that is not text is shown as far as possible, and exactly by its handle', async () => {
    const { stdout, altered, handle } = await agent.done('exec_run', {
      ...me,
      command: ['printf', 'a\\377\\0b\\033[31mred\\342\\200\\256'],
    });
    expect([stdout, altered]).toEqual(['a\ufffdbred', true]);
    const { content } = await agent.done('exec_output', { handle, encoding: 'base64' });
    expect(Buffer.from(content, 'base64').toString('latin1')).toBe('a\xff\0b\x1b[31mred\xe2\x80\xae');
  });

  test('a file name that is not text is listed with its bytes, and a link is listed and not followed', async () => {
    const path = join(files, 'odd');
    mkdirSync(path);
    writeFileSync(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0x61, 0xff, 0x1b])]), '');
    await agent.done('exec_run', { ...me, command: ['ln', '-s', '/etc/passwd', join(path, 'link')] });
    const { entries } = await agent.done('file_list', { ...me, path });
    expect(entries).toEqual([
      expect.objectContaining({ name: 'a', name_base64: Buffer.from([0x61, 0xff, 0x1b]).toString('base64') }),
      expect.objectContaining({ name: 'link', type: 'link', target: '/etc/passwd' }),
    ]);
  });

  test('a file of any bytes is read back page by page as it was written', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 31 + (at >> 8)) % 256));
    const path = join(files, 'bytes');
    const content = bytes.toString('base64');
    expect(await agent.done('file_write', { ...me, path, content, encoding: 'base64' })).toMatchObject({
      path,
      size: 300_000,
    });
    const pages: Buffer[] = [];
    for (let offset: number | null = 0; offset !== null; ) {
      const page: Result = await agent.done('file_read', { ...me, path, offset, length: 100_000 });
      expect(page.encoding).toBe('base64');
      pages.push(Buffer.from(page.content, 'base64'));
      offset = page.next;
    }
    expect(Buffer.concat(pages).equals(bytes)).toBe(true);
  });

  test('a text is cut between characters, and its pages join to the whole', async () => {
    const text = 'ä日🙂'.repeat(40);
    const path = join(files, 'text');
    await agent.done('file_write', { ...me, path, content: text });
    let read = '';
    for (let offset: number | null = 0; offset !== null; ) {
      const page: Result = await agent.done('file_read', { ...me, path, offset, length: 101 });
      expect(page.encoding).toBe('text');
      read += page.content;
      offset = page.next;
    }
    expect(read).toBe(text);
  });

  test('a file operation that fails changes nothing, and its refusal uses no text of the qube', async () => {
    const path = join(files, 'none/f');
    const why = (at: string, problem: string, code = 'conflict') => ({
      error: { code, data: { problems: [{ at, problem }] } },
    });
    const missing = why('/path', 'does not exist in the qube', 'not-found');
    expect(await agent.call('file_read', { ...me, path })).toEqual(missing);
    expect(await agent.call('file_write', { ...me, path, content: 'x' })).toEqual(missing);
    expect(await agent.call('file_read', { ...me, path: files })).toEqual(why('/path', 'is a directory'));
    expect(await agent.call('file_read', { ...me, path: '/dev/zero' })).toEqual(
      why('/path', 'is not a regular file'),
    );
    expect(readdirSync(files)).not.toContain('none');
  });
});
