/** One table of behaviours, which runs against the service that a template ships and against each engine's guests. */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FrameDecoder, inputFrames } from '../../core/ports/frames.js';
import { ends, FOREVER, gate, TEN_LOOKS, until, untilThere } from '../../test/support/waiting.js';
import { python } from '../python.js';
import { Input } from '../qrexec/input.js';
import { packageFile } from '../root.js';
import { BwrapEngine } from './bwrap.js';
import type { Guest } from './guest.js';
import { MemoryEngine } from './memory.js';
import { installQubesdbRead } from './qubesdb.js';

interface Answer {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** The last frame: the reply, or the code of the refusal. There is none if the caller has disconnected. */
  readonly last: unknown;
}

/** The bytes to send: a line, and input in frames. */
const message = (line: string, input: Uint8Array = new Uint8Array()) =>
  Buffer.concat([Buffer.from(`${line}\n`), ...inputFrames(input)]);

/** The caller's side of a call after its first bytes. Without `hangsUp`, it stays open until the answer. */
interface Caller {
  /** Called with the bytes so far, frames included. */
  readonly hears?: (said: string) => void;
  readonly hangsUp?: Promise<unknown>;
  /** By default the name of the qube. */
  readonly argument?: string;
}

/** A qube for one behaviour: its services, and an empty directory in it. */
interface Qube {
  readonly dir: string;
  call(service: string, sent: Buffer, caller?: Caller): Promise<Answer>;
}

/** The engine for the tests. All of them share one started guest, each in its own directory. */
interface Place {
  qube(): Promise<Qube>;
  end(): Promise<void>;
}
type Engine = () => Promise<Place>;

const atOnce = Promise.resolve();

function answerOf(bytes: Uint8Array): Answer {
  const decoder = new FrameDecoder();
  const out: Record<'stdout' | 'stderr', Uint8Array[]> = { stdout: [], stderr: [] };
  let last: unknown;
  for (const frame of decoder.push(bytes)) {
    if (frame.kind === 'stdout' || frame.kind === 'stderr') out[frame.kind].push(frame.bytes);
    else last = JSON.parse(Buffer.from(frame.bytes).toString('utf8'));
  }
  expect(decoder.complete).toBe(last !== undefined);
  return { stdout: Buffer.concat(out.stdout), stderr: Buffer.concat(out.stderr), last };
}

/** Linux checks no permissions of root, who may run these tests. */
const PLAIN = userInfo().uid === 0 ? 'nobody' : userInfo().username;

/** The shipped services as real processes, with the user who runs the tests. */
const shipped: Engine = async () => {
  // Not in the directory of this run, which is closed to PLAIN.
  const all = mkdtempSync('/tmp/qmcp-guest-');
  chmodSync(all, 0o755);
  const programs = installQubesdbRead(join(all, 'programs'), QUBE.name);
  return {
    qube: async () => {
      const dir = mkdtempSync(join(all, 'qube-'));
      chmodSync(dir, 0o777);
      return {
        dir,
        call: (service, sent, { hears, hangsUp, argument } = {}) =>
          new Promise((resolve, reject) => {
            const child = serviceProcess(service, dir, programs, { argument });
            const chunks: Buffer[] = [];
            child.stdout.on('data', (chunk: Buffer) => {
              chunks.push(chunk);
              hears?.(Buffer.concat(chunks).toString('latin1'));
            });
            child.stderr.on('data', (chunk: Buffer) => process.stderr.write(chunk));
            child.stdin.on('error', () => {});
            child.once('close', () => {
              try {
                resolve(answerOf(Buffer.concat(chunks)));
              } catch (error) {
                reject(error);
              }
            });
            child.stdin.write(sent);
            hangsUp?.then(() => child.stdin.end());
          }),
      };
    },
    end: async () => rmSync(all, { recursive: true, force: true }),
  };
};

/** `Run` is in the module exec_run, `FileRead` in file_read, as in the files of guest/qubes-rpc. */
function serviceProcess(
  service: string,
  dir: string,
  programs: string,
  { reader = '', argument = QUBE.name }: { reader?: string; argument?: string | undefined } = {},
) {
  const file = readFileSync(packageFile(`guest/qubes-rpc/qmcp.exec.${service}`), 'utf8');
  const module = /-m (qmcp_guest\.\w+)/.exec(file)![1]!;
  return spawn('sh', ['-c', `${reader ? '' : 'exec '}"$0" -B -S -m ${module} ${reader}`, python()], {
    cwd: packageFile('guest'),
    env: {
      ...process.env,
      PATH: `${programs}:${process.env.PATH}`,
      QREXEC_SERVICE_ARGUMENT: argument,
      QMCP_JOBS: join(dir, '.jobs'),
    },
  });
}

const QUBE = { name: 'ai-one', template: null, class: 'AppVM' };

const inMemory: Engine = async () => inGuest(await new MemoryEngine().start(QUBE));

const inSandbox: Engine = async () => {
  const dir = mkdtempSync(join(tmpdir(), 'qmcp-bwrap-'));
  return inGuest(await new BwrapEngine(dir).start(QUBE), () => rmSync(dir, { recursive: true, force: true }));
};

function inGuest(guest: Guest, clean = () => {}): Place {
  let qubes = 0;
  const call: Qube['call'] = async (service, sent, { hears, hangsUp, argument } = {}) => {
    const chunks: Uint8Array[] = [];
    const input = Input.of(sent, true);
    hangsUp?.then(() => input.end());
    await guest.serve({
      service: `qmcp.exec.${service}`,
      argument: argument ?? QUBE.name,
      source: 'mcp-control',
      user: 'root',
      stdin: input,
      stdout: (bytes) => {
        chunks.push(bytes);
        hears?.(Buffer.concat(chunks).toString('latin1'));
      },
      stderr: () => {},
      signal: new AbortController().signal,
    });
    input.end();
    return answerOf(Buffer.concat(chunks));
  };
  return {
    qube: async () => {
      qubes += 1;
      const dir = `/tmp/here${qubes}`;
      await guest.run({ command: ['mkdir', dir], user: 'user' });
      return { dir, call };
    },
    end: async () => {
      await guest.stop();
      clean();
    },
  };
}

const exited = (exit: number) => ({ exit, signal: null, timed_out: false });
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

interface Step {
  /**
   * The service; by default `Run`. `DIR` in the request is a directory, `JOB` the last background command, and `ME` a user other
   * than root.
   */
  readonly call?: string;
  readonly request: object | string;
  readonly stdin?: Buffer;
  readonly stdout?: string | Buffer | RegExp;
  readonly stderr?: RegExp;
  readonly last: unknown;
  /** The timeout of a second may end before the command prints: then the test repeats with twice the time, and so on. */
  readonly inTime?: boolean;
}
type Case = Step | readonly Step[];

const conflict = (problem: string) => ({ code: 'conflict', problem });
const invalid = { code: 'invalid-request' };
const running = { running: true, exit: null, signal: null, timed_out: false };
const over = (exit: number) => ({ running: false, ...exited(exit) });
const write = (path: string, content: string, more: object = {}): Step => ({
  call: 'FileWrite',
  request: { path: `DIR/${path}`, size: content.length, ...more },
  stdin: Buffer.from(content),
  last: expect.objectContaining({ size: expect.any(Number) }),
});
const background = (command: string, more: object = {}): Step => ({
  request: { command, background: true, ...more },
  last: { exit: null, signal: null, timed_out: false, job: expect.stringMatching(/^[0-9a-f]{16}$/) },
});

const CASES: Record<string, Case> = {
  'a string is a line for a shell': {
    request: { command: 'echo hello | tr a-z A-Z' },
    stdout: 'HELLO\n',
    last: exited(0),
  },
  'what a line catches of its own output is not said twice': {
    request: {
      command:
        'x=$(echo a); echo "<$x>"; f() { echo f | cat; }; y=$(f); echo "<$y>"; for i in 1 2; do echo $i | cat; done; if echo c; then echo t; fi; (echo s); { echo g; } > DIR/g; cat DIR/g; ls /nowhere 2>&1 | wc -l',
    },
    stdout: /^<a>\n<f>\n1\n2\nc\nt\ns\ng\n *1\n$/,
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
  'a working directory that does not begin with / is one of the home directory': {
    request: { command: '[ "$PWD" = "$HOME" ] && echo home', cwd: '.' },
    stdout: 'home\n',
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
    request: { command: FOREVER, timeout: 1 },
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
  'a command whose time is up has said what it said until then': {
    request: { command: `echo before; ${FOREVER}; echo after`, timeout: 1 },
    inTime: true,
    stdout: 'before\n',
    last: { exit: null, signal: 'SIGKILL', timed_out: true },
  },

  'a background command is read while it runs, from where one has come to, and when it has ended': [
    background(`echo one; echo err >&2; ${untilThere('DIR/go')}; echo two; exit 3`),
    {
      call: 'Output',
      request: { job: 'JOB', wait: 60 },
      stdout: 'one\n',
      last: { ...running, size: 4, dropped: 0 },
    },
    write('go', ''),
    {
      call: 'Output',
      request: { job: 'JOB', offset: 4, wait: 60 },
      stdout: 'two\n',
      last: expect.objectContaining({ size: 8, dropped: 0 }),
    },
    {
      call: 'Output',
      request: { job: 'JOB', offset: 8, wait: 60 },
      last: { ...over(3), size: 8, dropped: 0 },
    },
    {
      call: 'Output',
      request: { job: 'JOB', stream: 'stderr' },
      stderr: /^err\n$/,
      last: { ...over(3), size: 4, dropped: 0 },
    },
    {
      call: 'Output',
      request: { job: 'JOB', offset: 1, limit: 2 },
      stdout: 'ne',
      last: { ...over(3), size: 8, dropped: 0 },
    },
  ],
  'a background command gets its standard input': [
    { ...background('cat'), stdin: everyByte },
    {
      call: 'Output',
      request: { job: 'JOB', offset: 256, wait: 60 },
      last: { ...over(0), size: 256, dropped: 0 },
    },
    {
      call: 'Output',
      request: { job: 'JOB' },
      stdout: everyByte,
      last: { ...over(0), size: 256, dropped: 0 },
    },
  ],
  'a background command is stopped, and says by which signal': [
    background(`echo one; ${FOREVER}`),
    { call: 'Output', request: { job: 'JOB', wait: 60 }, stdout: 'one\n', last: expect.anything() },
    {
      call: 'Stop',
      request: { job: 'JOB' },
      last: { running: false, exit: null, signal: 'SIGTERM', timed_out: false },
    },
    {
      call: 'Stop',
      request: { job: 'JOB' },
      last: { running: false, exit: null, signal: 'SIGTERM', timed_out: false },
    },
  ],
  'a busy loop ends when its time is up, and its qube answers on': [
    {
      request: { command: 'while :; do :; done', timeout: 1 },
      last: { exit: null, signal: 'SIGKILL', timed_out: true },
    },
    { request: { command: 'echo on' }, stdout: 'on\n', last: exited(0) },
  ],
  'a busy loop in the background holds up no other command, and is stopped': [
    background('while :; do :; done'),
    { request: { command: 'echo on' }, stdout: 'on\n', last: exited(0) },
    {
      call: 'Stop',
      request: { job: 'JOB' },
      last: { running: false, exit: null, signal: 'SIGTERM', timed_out: false },
    },
  ],
  'endless recursion ends its command, and its qube answers on': [
    { request: { command: 'f() { f; }; f' }, stderr: /(?:)/, last: expect.anything() },
    { request: { command: 'echo on' }, stdout: 'on\n', last: exited(0) },
  ],
  'the system says that it is Linux, and on which processor': {
    request: { command: 'uname; uname -s; [ -n "$(uname -m)" ] && echo known' },
    stdout: 'Linux\nLinux\nknown\n',
    last: exited(0),
  },
  'the system says which distribution it is': {
    request: { command: '. /etc/os-release; [ -n "$ID" ] && echo known' },
    stdout: 'known\n',
    last: exited(0),
  },
  'a user is told by number and by name': {
    request: {
      command: '[ "$(id -u)" -ge 0 ] && [ "$(id -un)" = "$(whoami)" ] && [ "$(id -g)" -ge 0 ] && echo same',
    },
    stdout: 'same\n',
    last: exited(0),
  },
  'processes are listed, with the shell’s own': {
    request: { command: 'ps | grep -c PID; ps | grep -q "^ *$$ " && echo listed' },
    stdout: '1\nlisted\n',
    last: exited(0),
  },
  'users are looked up by name': {
    request: { command: 'getent passwd root | cut -d: -f1,3; getent passwd no-such-user; echo $?' },
    stdout: 'root:0\n2\n',
    last: exited(0),
  },
  'a number of processors is known': {
    request: { command: '[ "$(nproc)" -ge 1 ] && echo known' },
    stdout: 'known\n',
    last: exited(0),
  },
  'a temporary file is made, and a directory': {
    request: {
      command: 'f=$(mktemp); d=$(mktemp -d); [ -f "$f" ] && [ -d "$d" ] && echo made; rm "$f"; rmdir "$d"',
    },
    stdout: 'made\n',
    last: exited(0),
  },
  'a script gets its arguments, and its exit code is passed on': {
    request: {
      command: "cd DIR; printf '#!/bin/sh\\necho \"$1|$2\"; exit 4\\n' > x; chmod +x x; ./x 'a b' c; echo $?",
    },
    stdout: 'a b|c\n4\n',
    last: exited(0),
  },
  'a script whose interpreter is missing exits 127': {
    request: {
      command:
        "cd DIR; printf '#!/no/such/interpreter\\necho no\\n' > x; chmod +x x; ./x 2> err; echo $?; [ -s err ] && echo said",
    },
    stdout: '127\nsaid\n',
    last: exited(0),
  },
  'a script is run by the interpreter that its first line names': {
    request: { command: "cd DIR; printf '#!/bin/cat\\nread\\n' > x; chmod +x x; ./x" },
    stdout: '#!/bin/cat\nread\n',
    last: exited(0),
  },
  'a script without the bit is not executed, and neither is a directory': {
    request: {
      command:
        "cd DIR; echo 'echo no' > x; mkdir d; ./x 2> err; echo $?; ./d 2>> err; echo $?; ./none 2>> err; echo $?",
    },
    stdout: '126\n126\n127\n',
    last: exited(0),
  },
  'a program in a directory of PATH is found, and hides no other': {
    request: {
      command:
        'cd DIR; mkdir bin; printf \'#!/bin/sh\\necho mine\\n\' > bin/mine; chmod +x bin/mine; PATH="$PWD/bin:$PATH"; mine; ls bin; rm bin/mine; ls bin; command -v ls > where; grep -c /ls where',
    },
    stdout: 'mine\nmine\n1\n',
    last: exited(0),
  },
  'the environment of a program has what was exported, and no other variable': {
    request: { command: "mine=1; export given=2; env | grep -E '^(mine|given)='" },
    stdout: 'given=2\n',
    last: exited(0),
  },
  'a job prints while its shell waits, and its shell goes on': {
    request: { command: 'echo job & wait; echo on' },
    stdout: 'job\non\n',
    last: exited(0),
  },
  'the exit code of a job is that of waiting for it': {
    request: { command: "sh -c 'exit 3' & wait $!; echo $?; true & wait $!; echo $?" },
    stdout: '3\n0\n',
    last: exited(0),
  },
  'a job has a copy of its shell’s variables and changes none of them': {
    request: { command: 'x=1; (echo "job $x"; x=2) & wait; echo "shell $x"' },
    stdout: 'job 1\nshell 1\n',
    last: exited(0),
  },
  'jobs run side by side': {
    request: {
      command:
        'cd DIR; (while [ ! -e two ]; do sleep 0.05; done; echo one > one) & (echo two > two) & wait; cat one two',
    },
    stdout: 'one\ntwo\n',
    last: exited(0),
  },
  'a killed job has the exit code of its signal': {
    request: {
      command: `${FOREVER} & kill $!; wait $! 2> DIR/err; echo $?; ${FOREVER} & kill -9 $!; wait $! 2> DIR/err; echo $?`,
    },
    stdout: '143\n137\n',
    last: exited(0),
  },
  'a process is asked for with the signal 0': {
    request: {
      command: `${FOREVER} & kill -0 $! && echo there; kill $!; wait $! 2> DIR/err; kill -0 $! 2> DIR/err || echo gone`,
    },
    stdout: 'there\ngone\n',
    last: exited(0),
  },
  'a trap runs when the shell ends, with the shell’s variables, and keeps its exit code': {
    request: { command: 'x=kept; trap \'echo "bye $x"\' EXIT; echo on; exit 3' },
    stdout: 'on\nbye kept\n',
    last: exited(3),
  },
  'a trap catches a signal that the shell sends to itself': {
    request: { command: "trap 'echo caught' TERM USR1; kill -TERM $$; kill -USR1 $$; echo on" },
    stdout: 'caught\ncaught\non\n',
    last: exited(0),
  },
  'an ignored signal changes nothing, and a trap can be taken off': {
    request: {
      command: "trap '' TERM; kill -TERM $$; echo on; trap - TERM; trap 'echo no' EXIT; trap - EXIT",
    },
    stdout: 'on\n',
    last: exited(0),
  },
  'a byte that is no character is one byte': {
    request: {
      command:
        "printf '\\377' | wc -c; printf '\\377' > DIR/f; wc -c < DIR/f; x=$(printf 'é'); printf %s \"$x\" | wc -c",
    },
    stdout: '1\n1\n2\n',
    last: exited(0),
  },
  'a file is not entered, read or listed as a directory': {
    request: {
      command:
        'cd DIR; echo a > f; cat f/ 2> err || echo 1; ls f/ 2> err || echo 2; cat f/g 2> err || echo 3; (cd f) 2> err || echo 4',
    },
    stdout: '1\n2\n3\n4\n',
    last: exited(0),
  },
  'a directory is not written or read as a file': {
    request: { command: 'cd DIR; mkdir d; (echo x > d) 2> err || echo 1; cat d 2> err || echo 2; ls d' },
    stdout: '1\n2\n',
    last: exited(0),
  },
  'a file in a directory that is not there is not made': {
    request: {
      command:
        'cd DIR; (echo x > none/f) 2> err || echo refused; (echo x >> none/f) 2> err || echo refused; [ -e none ] || echo none',
    },
    stdout: 'refused\nrefused\nnone\n',
    last: exited(0),
  },
  'a link to a directory is followed': {
    request: {
      command: "cd DIR; mkdir d; ln -s d l; echo x > l/f; cat d/f; ls l; cd l; pwd -P | grep -c '/d$'",
    },
    stdout: 'x\nf\n1\n',
    last: exited(0),
  },
  'a link is removed without what it leads to, and a broken one is no file': {
    request: {
      command:
        'cd DIR; echo x > f; ln -s f l; ln -s none b; cat l; rm l; cat f; [ -e b ] || echo broken; [ -L b ] && echo link',
    },
    stdout: 'x\nx\nbroken\nlink\n',
    last: exited(0),
  },
  'a link loop is an error, not a wait': {
    request: { command: 'cd DIR; ln -s a b; ln -s b a; cat a 2> err || echo refused' },
    stdout: 'refused\n',
    last: exited(0),
  },
  'a copy keeps the mode': {
    request: { command: 'cd DIR; echo x > f; chmod 750 f; cp f g; stat -c %a g; mv g h; stat -c %a h' },
    stdout: '750\n750\n',
    last: exited(0),
  },
  'devices take what is written and give what is read': {
    request: {
      command:
        'cd DIR; echo x > /dev/null; cat /dev/null; head -c 5 /dev/zero | wc -c; (echo x > /dev/full) 2> err || echo full',
    },
    stdout: '5\nfull\n',
    last: exited(0),
  },
  'the first error ends a shell that was told so': {
    request: { command: 'set -e; echo on; false; echo no' },
    stdout: 'on\n',
    last: exited(1),
  },
  'a pipe has the exit code of its last command, and a group that of its last line': {
    request: {
      command: 'false | true; echo $?; (exit 5); echo $?; { true; false; }; echo $?; ! true; echo $?',
    },
    stdout: '0\n5\n1\n1\n',
    last: exited(0),
  },
  'a document in a line is read as a file': {
    request: { command: "x=1; cat <<A; cat <<'B'\n$x\nA\n$x\nB" },
    stdout: '1\n$x\n',
    last: exited(0),
  },
  'what replaces a shell ends it': {
    request: { command: 'exec echo x; echo no' },
    stdout: 'x\n',
    last: exited(0),
  },
  'a command that lets go of a job has ended, and the job runs on': [
    {
      request: { command: `(${untilThere('DIR/go')}; echo late > DIR/late) & echo on` },
      stdout: 'on\n',
      last: exited(0),
    },
    write('go', ''),
    { request: { command: `${untilThere('DIR/late')}; cat DIR/late` }, stdout: 'late\n', last: exited(0) },
  ],
  'a command that is stopped takes its jobs with it': [
    background(`(echo on; ${untilThere('DIR/go')}; echo late > DIR/late) & wait`),
    { call: 'Output', request: { job: 'JOB', wait: 60 }, stdout: 'on\n', last: expect.anything() },
    { call: 'Stop', request: { job: 'JOB' }, last: expect.objectContaining({ signal: 'SIGTERM' }) },
    { request: { command: `echo > DIR/go; ${TEN_LOOKS}; ls DIR` }, stdout: 'go\n', last: exited(0) },
  ],
  'a shell that kills itself says by which signal': [
    {
      request: { command: 'echo on; kill -TERM $$; echo no' },
      stdout: 'on\n',
      last: { ...exited(0), exit: null, signal: 'SIGTERM' },
    },
    { request: { command: 'kill -9 $$' }, last: { ...exited(0), exit: null, signal: 'SIGKILL' } },
  ],
  'bytes that are no text are printed as they are': {
    request: { command: "printf '\\377\\0\\376é'" },
    stdout: Buffer.from([0xff, 0, 0xfe, 0xc3, 0xa9]),
    last: exited(0),
  },
  'a user may not write where root alone may, or look where root alone looks': {
    request: {
      command:
        'touch /etc/mine 2> DIR/err || echo 1; rm /etc/passwd 2> DIR/err || echo 2; ls /root 2> DIR/err || echo 3',
      user: 'ME',
      cwd: '/tmp',
    },
    stdout: '1\n2\n3\n',
    last: exited(0),
  },
  'a file that its user made read-only is not written by a redirection, and is removed': {
    request: {
      command: 'cd DIR; echo a > f; chmod 444 f; (echo b > f) 2> err || echo refused; cat f; rm -f f; ls',
      user: 'ME',
      cwd: '/tmp',
    },
    stdout: 'refused\na\nerr\n',
    last: exited(0),
  },
  'a directory that its user made read-only takes no file and gives none up': {
    request: {
      command:
        'cd DIR; mkdir d; echo a > d/f; chmod 555 d; (echo b > d/g) 2> err || echo 1; rm d/f 2> err || echo 2; mv d/f . 2> err || echo 3; ls d; chmod 755 d',
      user: 'ME',
      cwd: '/tmp',
    },
    stdout: '1\n2\n3\nf\n',
    last: exited(0),
  },
  'a background command whose time is up is killed': [
    background(FOREVER, { timeout: 1 }),
    {
      call: 'Output',
      request: { job: 'JOB', wait: 60 },
      last: { running: false, exit: null, signal: 'SIGKILL', timed_out: true, size: 0, dropped: 0 },
    },
  ],
  'of a background command nobody knows there is nothing to read or stop': [
    { call: 'Output', request: { job: '0123456789abcdef' }, last: conflict('no-such-command') },
    { call: 'Stop', request: { job: '0123456789abcdef' }, last: conflict('no-such-command') },
    { call: 'Output', request: { job: '../../etc' }, last: invalid },
  ],

  'a file is written and read, byte for byte': [
    { ...write('f', everyByte.toString('latin1')), stdin: everyByte },
    {
      call: 'FileRead',
      request: { path: 'DIR/f' },
      stdout: everyByte,
      last: expect.objectContaining({ size: 256, end: true, mode: '0644' }),
    },
    {
      call: 'FileRead',
      request: { path: 'DIR/f', offset: 65, length: 3 },
      stdout: 'ABC',
      last: expect.objectContaining({ size: 256, end: false }),
    },
    {
      call: 'FileRead',
      request: { path: 'DIR/f', offset: 999 },
      last: expect.objectContaining({ size: 256, end: true }),
    },
  ],
  'a file keeps its mode when it is written anew, and gets the one asked for': [
    write('f', 'one', { mode: '0600' }),
    { ...write('f', 'two!'), last: expect.objectContaining({ mode: '0600', size: 4 }) },
    { ...write('f', 'x', { mode: '755' }), last: expect.objectContaining({ mode: '0755', size: 1 }) },
  ],
  'bytes are put at the end of a file, or into it': [
    write('f', 'one', { append: true }),
    write('f', ' two', { append: true }),
    write('f', 'ONE', { offset: 0 }),
    { call: 'FileRead', request: { path: 'DIR/f' }, stdout: 'ONE two', last: expect.anything() },
    { ...write('f', 'x', { offset: 100 }), last: conflict('beyond-the-end') },
    { ...write('none', 'x', { offset: 0 }), last: conflict('no-such-file') },
    { ...write('f', 'x', { offset: 0, append: true }), last: invalid },
    { ...write('f', '!', { append: true, mode: '0600' }), last: expect.objectContaining({ mode: '0600' }) },
    { ...write('g', 'x', { append: true, mode: '750' }), last: expect.objectContaining({ mode: '0750' }) },
  ],
  'a file of which not every byte arrives is not written, and leaves nothing behind': [
    write('f', 'old'),
    { ...write('f', 'new and longer', {}), stdin: Buffer.from('new'), last: invalid },
    { ...write('f', 'new'), stdin: Buffer.from('new and longer'), last: invalid },
    { call: 'FileRead', request: { path: 'DIR/f' }, stdout: 'old', last: expect.anything() },
    {
      call: 'FileList',
      request: { path: 'DIR' },
      stdout: /^\{"name": ?"f",[^\n]*\n$/,
      last: expect.objectContaining({ total: 1 }),
    },
  ],
  'directories on the way are made when that is asked for': [
    { ...write('a/b/f', 'deep'), last: conflict('no-such-file') },
    write('a/b/f', 'deep', { parents: true }),
    { call: 'FileRead', request: { path: 'DIR/a/b/f' }, stdout: 'deep', last: expect.anything() },
  ],
  'through a link the file is written that it leads to, and the answer says which': [
    write('real', 'old'),
    { request: { command: 'ln -s real DIR/link' }, last: exited(0) },
    { ...write('link', 'new'), last: expect.objectContaining({ path: 'DIR/real' }) },
    {
      call: 'FileRead',
      request: { path: 'DIR/link' },
      stdout: 'new',
      last: expect.objectContaining({ path: 'DIR/real' }),
    },
    {
      call: 'FileList',
      request: { path: 'DIR' },
      stdout: /"link",.*"type": ?"link".*"target": ?"real".*\n.*"real",.*"type": ?"file"/,
      last: expect.objectContaining({ total: 2 }),
    },
  ],
  'a file that its user may not write is not replaced, appended to or changed': [
    { ...write('f', 'old', { mode: '0444', user: 'ME' }) },
    { ...write('f', 'new', { user: 'ME' }), last: conflict('access-denied') },
    { ...write('f', 'new', { user: 'ME', append: true }), last: conflict('access-denied') },
    { ...write('f', 'new', { user: 'ME', offset: 0 }), last: conflict('access-denied') },
    { call: 'FileRead', request: { path: 'DIR/f', user: 'ME' }, stdout: 'old', last: expect.anything() },
    {
      call: 'FileList',
      request: { path: 'DIR' },
      stdout: /"name": ?"f"/,
      last: expect.objectContaining({ total: 1 }),
    },
  ],
  'a file that its user may not read is not read': [
    { ...write('f', 'old', { mode: '0200', user: 'ME' }) },
    { call: 'FileRead', request: { path: 'DIR/f', user: 'ME' }, last: conflict('access-denied') },
  ],
  'to append to a file or to write into it takes no right to its directory, and to replace it does': [
    {
      request: {
        command: 'cd DIR; mkdir d; echo old > d/f; chmod 555 d',
        user: 'ME',
        cwd: '/tmp',
      },
      last: exited(0),
    },
    { ...write('d/f', 'more', { user: 'ME', append: true }) },
    { ...write('d/f', 'O', { user: 'ME', offset: 0 }) },
    { ...write('d/f', 'new', { user: 'ME' }), last: conflict('access-denied') },
    { ...write('d/g', 'new', { user: 'ME' }), last: conflict('access-denied') },
    { request: { command: 'cat DIR/d/f; ls DIR/d' }, stdout: 'Old\nmoref\n', last: exited(0) },
  ],
  'links that lead to each other are not replaced by a file': [
    { request: { command: 'cd DIR; ln -s b a; ln -s a b; ln -s self self' }, last: exited(0) },
    { ...write('a', 'x'), last: conflict('link-loop') },
    { ...write('self', 'x'), last: conflict('link-loop') },
    { ...write('self/f', 'x', { parents: true }), last: conflict('link-loop') },
    { call: 'FileRead', request: { path: 'DIR/a' }, last: conflict('link-loop') },
    { call: 'FileList', request: { path: 'DIR/self' }, last: conflict('link-loop') },
    { request: { command: 'cd DIR; readlink a b self' }, stdout: 'b\na\nself\n', last: exited(0) },
  ],
  'through a link to what does not exist yet, the file is made where the link leads': [
    { request: { command: 'mkdir DIR/d; ln -s d/new DIR/link' }, last: exited(0) },
    { ...write('link', 'new'), last: expect.objectContaining({ path: 'DIR/d/new' }) },
    { request: { command: 'cat DIR/d/new; readlink DIR/link' }, stdout: 'newd/new\n', last: exited(0) },
  ],
  'a name with a slash at its end stands for a directory': [
    write('t', 'old'),
    { ...write('t/', 'new'), last: conflict('not-a-directory') },
    { ...write('t/.', 'new'), last: conflict('not-a-directory') },
    { ...write('t/../u', 'new'), last: conflict('not-a-directory') },
    { ...write('t/', 'new', { append: true }), last: conflict('not-a-directory') },
    { ...write('nodir/', 'new'), last: conflict('is-a-directory') },
    { ...write('nodir/', 'new', { parents: true }), last: conflict('is-a-directory') },
    { ...write('nodir/.', 'new', { parents: true }), last: conflict('is-a-directory') },
    { ...write('.', 'new'), last: conflict('is-a-directory') },
    { call: 'FileRead', request: { path: 'DIR/t/' }, last: conflict('not-a-directory') },
    { call: 'FileRead', request: { path: 'DIR/nodir/' }, last: conflict('no-such-file') },
    { call: 'FileList', request: { path: 'DIR/t/' }, last: conflict('not-a-directory') },
    { call: 'FileList', request: { path: 'DIR/t/..' }, last: conflict('not-a-directory') },
    { request: { command: 'cat DIR/t; ls DIR' }, stdout: 'oldt\n', last: exited(0) },
  ],
  'a file is not taken for a directory on the way to another': [
    write('t', 'old'),
    { ...write('t/f', 'new'), last: conflict('not-a-directory') },
    { ...write('t/f', 'new', { parents: true }), last: conflict('not-a-directory') },
    { ...write('t/d/f', 'new', { parents: true }), last: conflict('not-a-directory') },
    { call: 'FileRead', request: { path: 'DIR/t/f' }, last: conflict('not-a-directory') },
    { call: 'FileList', request: { path: 'DIR/t/d' }, last: conflict('not-a-directory') },
    { call: 'FileRead', request: { path: 'DIR/t' }, stdout: 'old', last: expect.anything() },
  ],
  'of a file of which not every byte arrives, no directory is made either': [
    { ...write('a/b/f', 'new', { parents: true }), stdin: Buffer.from('n'), last: invalid },
    { call: 'FileList', request: { path: 'DIR' }, last: { path: 'DIR', total: 0 } },
  ],
  'what is no file is not read, and what is a directory not written': [
    { call: 'FileRead', request: { path: 'DIR' }, last: conflict('is-a-directory') },
    { call: 'FileRead', request: { path: 'DIR/none' }, last: conflict('no-such-file') },
    { call: 'FileRead', request: { path: 'DIR/none', user: 'no-such-user' }, last: conflict('no-such-user') },
    { call: 'FileList', request: { path: 'DIR/none' }, last: conflict('no-such-file') },
    { ...write('', 'x'), last: conflict('is-a-directory') },
    write('f', 'x'),
    { call: 'FileList', request: { path: 'DIR/f' }, last: conflict('not-a-directory') },
    { call: 'FileRead', request: { path: '' }, last: invalid },
    { call: 'FileRead', request: { path: 'a\0b' }, last: invalid },
    { call: 'FileRead', request: { path: 'DIR/f', length: 0 }, last: invalid },
    { call: 'FileList', request: { path: 'DIR', limit: 100_000 }, last: invalid },
  ],
  'a directory is listed by pages, in the order of the names': [
    { request: { command: 'cd DIR; for n in c a d b; do echo $n > $n; done' }, last: exited(0) },
    {
      call: 'FileList',
      request: { path: 'DIR', offset: 1, limit: 2 },
      stdout: /^\{"name": ?"b".*\n\{"name": ?"c".*\n$/,
      last: { path: 'DIR', total: 4 },
    },
    { call: 'FileList', request: { path: 'DIR', offset: 9 }, last: { path: 'DIR', total: 4 } },
  ],

  'what cannot be a package is not looked for': [
    ...['-oDebug=1', 'name-', '-', 'a-', './a.deb', 'a*', ''].map((name) => ({
      call: 'PackageInstall',
      request: { packages: [name], user: undefined },
      last: invalid,
    })),
    { call: 'PackageInstall', request: { packages: [], user: undefined }, last: invalid },
  ],
  'what is not there, or no name of a qube, is not copied': [
    { call: 'FileCopy', request: { target: '--help', path: 'DIR' }, last: invalid },
    { call: 'FileCopy', request: { target: '@dispvm', path: 'DIR' }, last: invalid },
  ],
};

/** The request with the names of this run. */
function lineOf(step: Step, user: string, plain: string, dir: string, job: string): string {
  const takesUser = !['Output', 'Stop'].includes(step.call ?? 'Run');
  const line =
    typeof step.request === 'string'
      ? step.request
      : JSON.stringify({ ...(takesUser && { user }), ...step.request });
  return line.replaceAll('DIR', dir).replaceAll('JOB', job).replaceAll('"ME"', JSON.stringify(plain));
}

const noSandbox = BwrapEngine.unavailable();

for (const [name, engine, user, plain, missing] of [
  ['the service a template ships', shipped, userInfo().username, PLAIN, undefined],
  ['the guests in memory', inMemory, 'user', 'user', undefined],
  ['the guests in a sandbox', inSandbox, 'user', 'user', noSandbox],
] as const)
  describe.skipIf(missing !== undefined)(`${name}${missing ? ` (skipped: ${missing})` : ''}`, () => {
    let place: Place;
    beforeAll(async () => {
      place = await engine();
    });
    afterAll(() => place.end());

    for (const [what, steps] of Object.entries(CASES))
      it(what, async () => {
        const qube = await place.qube();
        let job = '';
        const take = async (step: Step) => {
          const line = lineOf(step, user, plain, qube.dir, job);
          const answer = await qube.call(step.call ?? 'Run', message(line, step.stdin));
          job = (answer.last as { job?: string }).job ?? job;
          const said = JSON.parse(JSON.stringify(answer.last).replaceAll(qube.dir, 'DIR')) as unknown;
          expect(said, JSON.stringify(step.request)).toEqual(step.last);
          return answer;
        };
        for (const step of [steps].flat() as Step[]) {
          let answer = await take(step);
          for (let seconds = 2; step.inTime && answer.stdout.length === 0 && seconds < 100; seconds *= 2)
            answer = await take({ ...step, request: { ...(step.request as object), timeout: seconds } });
          if (step.stdout instanceof RegExp) expect(answer.stdout.toString()).toMatch(step.stdout);
          else
            expect(answer.stdout.toString('latin1')).toBe(Buffer.from(step.stdout ?? '').toString('latin1'));
          if (step.stderr === undefined) expect(answer.stderr.toString()).toBe('');
          else expect(answer.stderr.toString()).toMatch(step.stderr);
        }
      });

    // INVARIANT consent.names-the-qube
    it('a call that names another qube than the one it reached is refused as if there were no such qube, and has no effect', async () => {
      const qube = await place.qube();
      const path = `${qube.dir}/reached`;
      for (const argument of ['', 'ai-two', 'AI-ONE', 'ai-one+', 'ai-one+ai-two', 'ai-one\n', '*'])
        for (const [service, request] of [
          ['Run', { command: ['touch', path], user }],
          ['FileWrite', { path, size: 0, user }],
        ] as const) {
          const answer = await qube.call(service, message(JSON.stringify(request)), { argument });
          expect([answer.last, answer.stdout.length]).toEqual([{ code: 'not-found' }, 0]);
        }
      const listed = await qube.call('FileList', message(JSON.stringify({ path: qube.dir, user })));
      expect(listed.stdout.toString()).not.toContain('reached');
    });

    it('a request without an end of line is refused', async () => {
      const qube = await place.qube();
      const sent = Buffer.from('{"command":"true"}');
      expect((await qube.call('Run', sent, { hangsUp: atOnce })).last).toEqual(invalid);
    });

    it('input that is not a frame is refused, and so is a frame that is too long', async () => {
      const qube = await place.qube();
      const line = Buffer.from(`{"command":"cat","user":"${user}"}\n`);
      for (const input of ['plain\n', 'O\0\0\0\0', 'I\0\u0001\0\u0001'])
        expect((await qube.call('Run', Buffer.concat([line, Buffer.from(input)]))).last).toEqual(invalid);
    });

    it('when its caller disconnects, a running service is ended and sends nothing more', async () => {
      const qube = await place.qube();
      const at = (path: string) => `${qube.dir}/${path}`;
      const size = async (path: string) =>
        (await qube.call('FileRead', message(JSON.stringify({ path: at(path), user })))).last;
      const run = (command: string, more: object = {}, input = Buffer.of()) =>
        message(JSON.stringify({ command, user, ...more }), input);
      const line = (name: string) =>
        `echo > ${at(`${name}-began`)}; echo on; ${untilThere(at('go'))}; echo > ${at(`${name}-late`)}`;
      await qube.call('Run', run(line('control'), { background: true }));
      // One service has nothing to read, and one does not read its input, which is more than the pipes between them hold.
      for (const [name, input] of Object.entries({ one: Buffer.of(), other: Buffer.alloc(3_000_000) })) {
        const on = gate();
        const { stdout, last } = await qube.call('Run', run(line(name), { timeout: 3600 }, input), {
          hears: (said) => said.endsWith('on\n') && on.open(),
          hangsUp: on.opened,
        });
        expect([stdout.toString(), last]).toEqual(['on\n', undefined]);
        expect(await size(`${name}-began`)).toMatchObject({ size: 1 });
      }
      const { job } = (await qube.call('Run', run(FOREVER, { background: true }))).last as { job: string };
      const output = (wait: number) => message(JSON.stringify({ job, wait }));
      // The first caller disconnects after a second one, who called later, has its answer.
      const asked = gate();
      const waiting = qube.call('Output', output(60), { hangsUp: asked.opened });
      expect((await qube.call('Output', output(0))).last).toMatchObject({ running: true });
      asked.open();
      expect((await waiting).last).toBeUndefined();
      // Then the event happens for which all of them wait; only the call with a connected caller continues.
      const after = (command: string) => qube.call('Run', run(command));
      await after(`echo > ${at('go')}; ${untilThere(at('control-late'))}; ${TEN_LOOKS}`);
      for (const name of ['one', 'other'])
        expect(await size(`${name}-late`)).toEqual(conflict('no-such-file'));
      // A command that should outlive its caller does.
      expect((await qube.call('Stop', message(JSON.stringify({ job })))).last).toMatchObject({
        running: false,
        signal: 'SIGTERM',
      });
    });
  });

describe('the shipped guest service in a qube whose QubesDB does not answer', () => {
  it('every call is refused, also one without a name', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'qmcp-guest-'));
    try {
      for (const said of ['exit 1', "printf '\\n'", "printf '%s\\n' ai-one; exit 1"]) {
        writeFileSync(join(dir, 'qubesdb-read'), `#!/bin/sh\n${said}\n`, { mode: 0o755 });
        for (const argument of ['', 'ai-two']) {
          const child = serviceProcess('Run', dir, dir, { argument });
          const chunks: Buffer[] = [];
          child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
          child.stdin.on('error', () => {});
          child.stdin.write(message(JSON.stringify({ command: ['true'], user: userInfo().username })));
          await new Promise((resolve) => child.once('close', resolve));
          expect(answerOf(Buffer.concat(chunks)).last).toEqual({ code: 'not-found' });
        }
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  });
});

describe('the shipped guest service with a slow reader', () => {
  const user = userInfo().username;
  const run = (request: object) => message(JSON.stringify({ user, ...request }));
  let place: Place;
  beforeAll(async () => {
    place = await shipped();
  });
  afterAll(() => place.end());

  // After its caller disconnects, qrexec's agent reads no more and keeps its end of the output open until the service ends.
  it('a service notices that its caller disconnected, also while nobody reads its output', async () => {
    const { dir } = await place.qube();
    const child = serviceProcess('Run', dir, installQubesdbRead(join(dir, 'programs'), QUBE.name));
    child.stdin.write(run({ command: 'yes', timeout: 3600 }));
    await until(() => isStuck(child.pid!));
    const exit = new Promise((resolve) => child.once('exit', resolve));
    child.stdin.end();
    expect(await ends('the service', exit)).toBe(1);
    child.stdout.destroy();
  });

  it('a service finishes the frame in progress when the time is up, and reports the timeout in the next', async () => {
    const { dir } = await place.qube();
    const [pid, go] = [join(dir, 'pid'), join(dir, 'go')];
    // A pipe accepts a part of a frame, while a socket accepts all or nothing. The test reads after the timeout.
    const programs = installQubesdbRead(join(dir, 'programs'), QUBE.name);
    const child = serviceProcess('Run', dir, programs, { reader: `| (${untilThere(go)}; cat)` });
    child.stdin.write(run({ command: `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; exec yes`, timeout: 1 }));
    await until(() => existsSync(pid) && !existsSync(`/proc/${readFileSync(pid, 'utf8').trim()}`));
    writeFileSync(go, '');
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
    const { stdout, last } = answerOf(Buffer.concat(chunks));
    expect(last).toEqual({ exit: null, signal: 'SIGKILL', timed_out: true });
    expect(stdout.length).toBeGreaterThan(0);
  });

  it('a service leaves no background command for a caller that disconnected before it got the handle', async () => {
    const { dir, call } = await place.qube();
    const { last } = await call('Run', run({ command: FOREVER, background: true }), { hangsUp: atOnce });
    expect(last).toBeUndefined();
    const [job] = readdirSync(join(dir, '.jobs'));
    expect(JSON.parse(readFileSync(join(dir, '.jobs', job!, 'end'), 'utf8'))).toMatchObject({
      signal: 'SIGTERM',
    });
  });
});

/** The service has written more than the pipes and buffers accept, and waits for room. */
const written = new Map<number, number>();
function isStuck(pid: number): boolean {
  const before = written.get(pid);
  const now = Number(/wchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))![1]);
  written.set(pid, now);
  const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]![0];
  return now === before && now > 65_536 && state === 'S';
}
