/**
 * One command of a guest, in a thread of its own: a busy loop, deep recursion or a flood in it disturbs nobody else, and ending
 * the thread ends the command. Files, other qubes and the network are on the main thread (shell.ts), so nothing is lost with it.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Bash, type IFileSystem, InMemoryFs, type MountableFs } from 'just-bash';
import { commandsOf } from './commands.js';
import { type Jobs, variablesOf } from './job-commands.js';
import { fetchFrom, type GuestNetwork } from './outside.js';
import { rewritten, WRITTEN } from './rewrite.js';
import type { FromShell, ShellCommand, ShellSetup, ToShell } from './shell.js';
import { heard as hearing, tapped } from './tap.js';

const port = parentPort!;
/** Taken now: the shell takes them away from whatever runs in it. */
const { store, wait } = Atomics;
const { syncPort, wakeUp } = workerData as ShellSetup;
const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
let lastId = 0;

/** Calls a function of the main thread. */
function ask(
  target: 'fs' | 'network' | 'output' | 'jobs',
  method: string,
  args: readonly unknown[],
): Promise<never> {
  const id = ++lastId;
  post({ type: 'call', id, target, method, args });
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
  });
}

/** The same for a method of the file system that must return at once: this thread sleeps until the answer. */
function askNow(method: string, args: readonly unknown[]): never {
  store(wakeUp, 0, 0);
  syncPort.postMessage({ method, args });
  wait(wakeUp, 0, 0);
  return receiveMessageOnPort(syncPort)!.message as never;
}

const post = (message: FromShell) => port.postMessage(message);

const METHODS = [
  ...['readFile', 'readFileBytes', 'readFileBuffer', 'writeFile', 'appendFile', 'exists', 'stat', 'lstat'],
  ...['mkdir', 'readdir', 'rm', 'cp', 'mv', 'chmod', 'symlink', 'link', 'readlink', 'realpath', 'utimes'],
];
const paths = new InMemoryFs();
/** Only a directory may have a slash after its name. */
const absolute = (base: string, path: string): string =>
  paths.resolvePath(base, path) + (/[^/]\/$/.test(path) ? '/' : '');
const isMarked = (path: unknown): path is string => typeof path === 'string' && path.startsWith(WRITTEN);
const unmarked = (path: unknown): unknown => (isMarked(path) ? path.slice(WRITTEN.length) : path);

const WRITES = ['writeFile', 'appendFile'];
/** The shell in memory could not go on. */
const sayWriteFailed = ({ message }: Error): Promise<unknown> =>
  ask('output', 'stderr', [Buffer.from(`sh: write error: ${message}\n`)]);

const fs = Object.fromEntries([
  ...METHODS.map((method) => [
    method,
    (...args: unknown[]) => {
      // The shell asks this of a target before it runs the command, and a failure is the command's.
      if (method === 'exists' && isMarked(args[0])) return ask('fs', 'canBeWritten', args.map(unmarked));
      const result = ask('fs', method, args.map(unmarked));
      return isMarked(args[0]) && WRITES.includes(method) ? result.catch(sayWriteFailed) : result;
    },
  ]),
  ['getAllPaths', () => askNow('getAllPaths', [])],
  [
    'resolvePath',
    (base: string, path: string) =>
      isMarked(path) ? `${WRITTEN}${absolute(base, path.slice(WRITTEN.length))}` : absolute(base, path),
  ],
]) as unknown as IFileSystem;

const network: GuestNetwork = {
  call: (...args) => ask('network', 'call', args),
  reach: (...args) => ask('network', 'reach', args),
  reachUpdates: (...args) => ask('network', 'reachUpdates', args),
  answerUpdates: (...args) => ask('network', 'answerUpdates', args),
};

async function run(command: ShellCommand): Promise<void> {
  const { line, name, user, uid, pid, cwd, env, stdin, hasNetwork } = command;
  const outside = hasNetwork ? network : undefined;
  const jobs: Jobs = {
    ...{ pid, traps: new Map(), children: [], left: undefined },
    launch: (job, context) =>
      ask('jobs', 'launch', [
        { ...command, line: job, cwd: context.cwd, env: variablesOf(context), stdin: undefined },
      ]),
    wait: (...args) => ask('jobs', 'wait', args),
    kill: (...args) => ask('jobs', 'kill', args),
    list: () => ask('jobs', 'list', []),
  };
  const shell = new Bash({
    fs: tapped(fs as MountableFs, (stream, bytes) => ask('output', stream, [withoutMarks(bytes)])),
    cwd,
    env,
    processInfo: { pid, uid, gid: uid },
    customCommands: commandsOf({ name, user, uid, outside, jobs }),
    executionLimits: { maxCommandCount: 10_000_000, maxLoopIterations: 10_000_000 },
    ...(outside && { fetch: fetchFrom(outside, name) }),
  });
  // The scripts that a line runs print to their caller, who may read them. A line that redirects its own output permanently is not
  // heard until it ends.
  const isHeard = !/\bexec\b/.test(line);
  let isLine = true;
  shell.registerTransformPlugin({
    name: 'line',
    transform: ({ ast }) => {
      const runnable = rewritten(ast, isLine);
      const heard = isLine && isHeard ? hearing(runnable) : runnable;
      isLine = false;
      return { ast: heard };
    },
  });
  const input = stdin && { stdin: Buffer.from(stdin).toString('latin1'), stdinKind: 'bytes' as const };
  const { exitCode, env: left } = await execute(shell, line, input);
  const atExit = jobs.traps.get('EXIT');
  const variables = jobs.left ?? variablesOf({ env: new Map(Object.entries(left)) });
  if (atExit) await execute(shell, atExit, { env: variables });
  post({ type: 'end', exit: exitCode });
}

/** The shell's own messages name the target of a redirection as it was marked. */
function withoutMarks(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1');
  return text.includes(WRITTEN) ? Buffer.from(text.replaceAll(WRITTEN, ''), 'latin1') : bytes;
}

/** Runs a line, and sends what was not heard before: of a line that cannot be parsed, the shell's own message. */
async function execute(shell: Bash, line: string, options: Parameters<Bash['exec']>[1] = {}) {
  const result = await shell.exec(line, { rawScript: true, ...options });
  const { stdout, stderr, stdoutKind } = result;
  if (stdout !== '') await ask('output', 'stdout', [bytesOf(stdout, stdoutKind)]);
  if (stderr !== '') await ask('output', 'stderr', [Buffer.from(stderr.replaceAll(WRITTEN, ''), 'utf8')]);
  return result;
}

/** The shell gives bytes as Latin-1 text, unless it marks the output as text. */
function bytesOf(output: string, kind: string | undefined): Uint8Array {
  const isBytes = kind === 'bytes' || ![...output].some((character) => character > '\xff');
  return isBytes ? Buffer.from(output, 'latin1') : Buffer.from(output, 'utf8');
}

port.on('message', (message: ToShell) => {
  if (message.type === 'run') {
    run(message.command).catch(async (error: Error & { code?: unknown }) => {
      if (typeof error.code !== 'string')
        return post({ type: 'failed', message: error.stack ?? error.message });
      await ask('output', 'stderr', [Buffer.from(`sh: ${error.message}\n`)]);
      post({ type: 'end', exit: 2 });
    });
    return;
  }
  const call = waiting.get(message.id)!;
  waiting.delete(message.id);
  if (message.error === undefined) call.resolve(message.value);
  else call.reject(Object.assign(new Error(message.error.message), message.error));
});
