/** One table of what a guest does, held against the service a template ships and against each engine's guests. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FrameDecoder } from '../../core/host/frames.js';
import { packageFile } from '../root.js';
import { BwrapEngine } from './bwrap.js';
import type { Guest } from './guest.js';
import { MemoryEngine } from './memory.js';

interface Answer {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** The last frame: the reply, or the refusal's code. */
  readonly last: unknown;
}

type Engine = (request: string, stdin?: Buffer) => Promise<Answer>;

function answerOf(bytes: Uint8Array): Answer {
  const decoder = new FrameDecoder();
  const out: Record<'stdout' | 'stderr', Uint8Array[]> = { stdout: [], stderr: [] };
  let last: unknown;
  for (const frame of decoder.push(bytes)) {
    if (frame.kind === 'stdout' || frame.kind === 'stderr') out[frame.kind].push(frame.bytes);
    else last = JSON.parse(Buffer.from(frame.bytes).toString('utf8'));
  }
  expect(decoder.complete).toBe(true);
  return { stdout: Buffer.concat(out.stdout), stderr: Buffer.concat(out.stderr), last };
}

/** The real service, as a real process, as whoever runs the tests. */
const shipped: Engine = (request, stdin = Buffer.alloc(0)) =>
  new Promise((resolve, reject) => {
    const child = spawn('python3', ['-B', '-S', '-m', 'qmcp_guest.exec_run'], { cwd: packageFile('guest') });
    const chunks: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => process.stderr.write(chunk));
    child.stdin.on('error', () => {});
    child.once('close', () => {
      try {
        resolve(answerOf(Buffer.concat(chunks)));
      } catch (error) {
        reject(error);
      }
    });
    child.stdin.end(Buffer.concat([Buffer.from(request), stdin]));
  });

const QUBE = { name: 'ai-one', template: null, klass: 'AppVM' };

const inMemory: Engine = async (request, stdin) =>
  answerIn(await new MemoryEngine().start(QUBE), request, stdin);

const inSandbox: Engine = async (request, stdin) => {
  const dir = mkdtempSync(join(tmpdir(), 'qmcp-bwrap-'));
  const guest = await new BwrapEngine(dir).start(QUBE);
  try {
    return await answerIn(guest, request, stdin);
  } finally {
    await guest.stop();
    rmSync(dir, { recursive: true, force: true });
  }
};

async function answerIn(guest: Guest, request: string, stdin: Buffer = Buffer.alloc(0)): Promise<Answer> {
  const chunks: Uint8Array[] = [];
  await guest.serve({
    service: 'qmcp.exec.Run',
    argument: '',
    source: 'mcp-control',
    user: 'root',
    stdin: (async function* () {
      yield Buffer.concat([Buffer.from(request), stdin]);
    })(),
    stdout: (bytes) => chunks.push(bytes),
    stderr: () => {},
    signal: new AbortController().signal,
  });
  return answerOf(Buffer.concat(chunks));
}

const exited = (exit: number) => ({ exit, signal: null, timed_out: false });
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

interface Case {
  readonly request: object | string;
  readonly stdin?: Buffer;
  readonly stdout?: string | Buffer;
  readonly stderr?: RegExp;
  readonly last: unknown;
}

const CASES: Record<string, Case> = {
  'a string is a line for a shell': {
    request: { command: 'echo hello | tr a-z A-Z' },
    stdout: 'HELLO\n',
    last: exited(0),
  },
  'a list is executed as it is, no shell looks at it': {
    request: { command: ['printf', '%s|', 'a b', '$HOME', ';', '*'] },
    stdout: 'a b|$HOME|;|*|',
    last: exited(0),
  },
  'an exit code is a result': { request: { command: 'exit 42' }, last: exited(42) },
  'standard error is a stream of its own': {
    request: { command: 'echo out; echo err >&2' },
    stdout: 'out\n',
    stderr: /^err\n$/,
    last: exited(0),
  },
  'standard input is what follows the request, byte for byte': {
    request: { command: ['cat'] },
    stdin: everyByte,
    stdout: everyByte,
    last: exited(0),
  },
  'a command that reads nothing is not held up by its input': {
    request: { command: 'true' },
    stdin: Buffer.alloc(300_000),
    last: exited(0),
  },
  'the working directory is where it was asked for': {
    request: { command: 'pwd', cwd: '/tmp' },
    stdout: '/tmp\n',
    last: exited(0),
  },
  'a working directory that is not there is a failure of the command': {
    request: { command: 'true', cwd: '/nowhere' },
    stderr: /\/nowhere/,
    last: exited(126),
  },
  'the environment has what was asked for': {
    request: { command: 'printf %s "$GREETING"', env: { GREETING: 'hello there' } },
    stdout: 'hello there',
    last: exited(0),
  },
  'a user that is not there is a failure of the command': {
    request: { command: 'true', user: 'no-such-user' },
    stderr: /no-such-user/,
    last: exited(126),
  },
  'a program that is not there exits 127, as a shell has it': {
    request: { command: ['no-such-program'] },
    stderr: /no-such-program.*not found/,
    last: exited(127),
  },
  'a command whose time is up is killed': {
    request: { command: 'sleep 30', timeout: 1 },
    last: { exit: null, signal: 'SIGKILL', timed_out: true },
  },
  'a request that is no JSON is refused': { request: 'echo hello', last: { code: 'invalid-request' } },
  'a request without a command is refused': { request: {}, last: { code: 'invalid-request' } },
  'a request with a key nobody knows is refused': {
    request: { command: 'true', sudo: true },
    last: { code: 'invalid-request' },
  },
  'a timeout that is not a number of seconds is refused': {
    request: { command: 'true', timeout: 1.5 },
    last: { code: 'invalid-request' },
  },
  'an empty command is refused': { request: { command: [] }, last: { code: 'invalid-request' } },
};

const noSandbox = BwrapEngine.unavailable();

for (const [name, engine, user, missing] of [
  ['the service a template ships', shipped, userInfo().username, undefined],
  ['the guests in memory', inMemory, 'user', undefined],
  ['the guests in a sandbox', inSandbox, 'user', noSandbox],
] as const)
  describe.skipIf(missing !== undefined)(`${name}${missing ? ` (skipped: ${missing})` : ''}`, () => {
    for (const [what, { request, stdin, stdout, stderr, last }] of Object.entries(CASES))
      it(what, async () => {
        const line = typeof request === 'string' ? request : JSON.stringify({ user, ...request });
        const answer = await engine(`${line}\n`, stdin);
        expect(answer.last).toEqual(last);
        expect(answer.stdout.equals(Buffer.from(stdout ?? ''))).toBe(true);
        if (stderr === undefined) expect(answer.stderr.toString()).toBe('');
        else expect(answer.stderr.toString()).toMatch(stderr);
      });

    it('a request without an end of line is refused', async () => {
      expect((await engine('{"command":"true"}')).last).toEqual({ code: 'invalid-request' });
    });
  });

describe('the service a template ships', () => {
  const alive = (command: string) =>
    readdirSync('/proc').some((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() === command;
      } catch {
        return false;
      }
    });

  it('ends the whole process group when the caller goes', async () => {
    const marker = `61.${process.pid}`;
    const child = spawn('python3', ['-B', '-S', '-m', 'qmcp_guest.exec_run'], { cwd: packageFile('guest') });
    child.stdin.end(
      `${JSON.stringify({ command: `sleep ${marker} & sleep ${marker}`, user: userInfo().username })}\n`,
    );
    await expect.poll(() => alive(`sleep ${marker}`)).toBe(true);
    child.stdout.destroy();
    await expect.poll(() => alive(`sleep ${marker}`), { timeout: 1000 }).toBe(false);
  });

  it('does not wait for what a command left behind', async () => {
    const before = Date.now();
    const answer = await shipped(
      `${JSON.stringify({ command: 'sleep 5 & echo done', user: userInfo().username })}\n`,
    );
    expect(answer.last).toEqual(exited(0));
    expect(answer.stdout.toString()).toBe('done\n');
    expect(Date.now() - before).toBeLessThan(4000);
  });

  it('holds a flood back instead of keeping it', async () => {
    const answer = await shipped(
      `${JSON.stringify({ command: 'head -c 20000000 /dev/zero', user: userInfo().username })}\n`,
    );
    expect(answer.stdout.length).toBe(20_000_000);
    expect(answer.last).toEqual(exited(0));
  });
});
