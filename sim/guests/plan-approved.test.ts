/** One table for `qmcp.plan.Approved`, which runs against the service that a template ships and against a guest in memory. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FrameDecoder, inputFrames } from '../../core/ports/frames.js';
import { python } from '../python.js';
import { Input } from '../qrexec/input.js';
import { packageFile } from '../root.js';
import { MemoryEngine } from './memory.js';
import { installQubesdbRead } from './qubesdb.js';

interface Answer {
  readonly stdout: string;
  readonly last: unknown;
}

interface Place {
  /** An empty directory in the qube, which its user can write. */
  readonly dir: string;
  readonly user: string;
  call(argument: string, sent: Buffer): Promise<Answer>;
  end(): Promise<void>;
}

function answerOf(bytes: Uint8Array): Answer {
  const stdout: Uint8Array[] = [];
  let last: unknown;
  for (const frame of new FrameDecoder().push(bytes)) {
    if (frame.kind === 'stdout') stdout.push(frame.bytes);
    else if (frame.kind !== 'stderr') last = JSON.parse(Buffer.from(frame.bytes).toString('utf8'));
  }
  return { stdout: Buffer.concat(stdout).toString('utf8'), last };
}

const NAME = 'ai-one';

async function shipped(): Promise<Place> {
  const dir = mkdtempSync(join(tmpdir(), 'qmcp-approved-'));
  chmodSync(dir, 0o777);
  const path = `${installQubesdbRead(join(dir, 'bin'), NAME)}:${process.env.PATH}`;
  const files = { QMCP_JOBS: join(dir, 'jobs'), QMCP_APPROVED: join(dir, 'approved') };
  return {
    dir,
    user: userInfo().username,
    call: (argument, sent) =>
      new Promise((resolve) => {
        const child = spawn(python(), ['-B', '-S', '-m', 'qmcp_guest.plan_approved'], {
          cwd: packageFile('guest'),
          env: { ...process.env, ...files, PATH: path, QREXEC_SERVICE_ARGUMENT: argument },
        });
        const chunks: Buffer[] = [];
        child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
        child.stderr.on('data', (chunk: Buffer) => process.stderr.write(chunk));
        child.once('close', () => resolve(answerOf(Buffer.concat(chunks))));
        child.stdin.on('error', () => {});
        child.stdin.write(sent);
      }),
    end: async () => rmSync(dir, { recursive: true, force: true }),
  };
}

async function inMemory(): Promise<Place> {
  const guest = await new MemoryEngine().start({ name: NAME, template: null, class: 'AppVM' });
  return {
    dir: '/home/user',
    user: 'user',
    call: async (argument, sent) => {
      const chunks: Uint8Array[] = [];
      const input = Input.of(sent, true);
      await guest.serve({
        service: 'qmcp.plan.Approved',
        argument,
        source: 'mcp-control',
        user: 'root',
        stdin: input,
        stdout: (bytes) => chunks.push(bytes),
        stderr: () => {},
        signal: new AbortController().signal,
      });
      input.end();
      return answerOf(Buffer.concat(chunks));
    },
    end: () => guest.stop(),
  };
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const ended = (exit: number) => ({ exit, signal: null, timed_out: false });

describe.each([
  ['the shipped service', shipped],
  ['a guest in memory', inMemory],
] as const)('%s', (_name, start) => {
  let place: Place;
  let key = 0;
  beforeAll(async () => {
    place = await start();
  });
  afterAll(() => place.end());

  const lineOf = (command: string | string[], more: object = {}) => {
    key += 1;
    const about = { qube: NAME, plan: '0'.repeat(64), step: 1, key: `key${key}`, output: 'agent' };
    return JSON.stringify({ ...about, command, user: place.user, cwd: place.dir, ...more });
  };
  const send = (line: string, argument = `${NAME}+${sha256(line)}`) =>
    place.call(argument, Buffer.concat([Buffer.from(`${line}\n`), ...inputFrames(Buffer.from('ignored'))]));

  test('runs an approved command once, and hears nothing of the caller’s own input', async () => {
    const line = lineOf('cat; echo ran >> log', { input: 'approved\n' });
    expect(await send(line)).toEqual({ stdout: 'approved\n', last: ended(0) });
    expect((await send(line)).last).toEqual({ code: 'conflict', problem: 'run-before' });
    expect((await send(lineOf('cat log'))).stdout).toBe('ran\n');
  });

  test('refuses bytes that do not hash to the argument, and the name of another qube', async () => {
    const line = lineOf('echo changed > changed');
    const other = line.replace('"ai-one"', '"ai-two"');
    expect((await send(line, `${NAME}+${sha256(`${line} `)}`)).last).toEqual({ code: 'invalid-request' });
    expect((await send(other, `ai-two+${sha256(other)}`)).last).toEqual({ code: 'not-found' });
    expect((await send(other, `${NAME}+${sha256(other)}`)).last).toEqual({ code: 'invalid-request' });
    expect((await send(lineOf('ls changed'))).last).not.toEqual(ended(0));
  });

  test('compares pinned files before it runs anything', async () => {
    await send(lineOf('printf good > job'));
    const path = `${place.dir}/job`;
    const pinned = (sha: string, at = path) => ({ files: [{ path: at, sha256: sha }] });
    expect(await send(lineOf('cat job', pinned(sha256('good'))))).toEqual({ stdout: 'good', last: ended(0) });
    for (const more of [
      pinned(sha256('bad')),
      pinned(sha256('good'), `${path}s`),
      pinned(sha256(''), place.dir),
    ])
      expect(await send(lineOf('echo ran', more))).toEqual({
        stdout: '',
        last: { code: 'conflict', problem: 'file-changed' },
      });
  });

  test('says how the command ended, and prints for nobody if nobody is to hear it', async () => {
    expect(await send(lineOf('echo heard; exit 3', { output: 'nobody' }))).toEqual({
      stdout: '',
      last: ended(3),
    });
    expect((await send(lineOf(['no-such-program']))).last).toEqual(ended(127));
  });
});
