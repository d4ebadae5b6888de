/**
 * One command of a guest, in a thread of its own: a busy loop, deep recursion or a flood in it disturbs nobody else, and ending
 * the thread ends the command. Files, other qubes and the network are on the main thread (shell.ts), so nothing is lost with it.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { Bash, type IFileSystem, InMemoryFs, type MountableFs } from 'just-bash';
import { commandsOf } from './commands.js';
import { fetchFrom, type GuestNetwork } from './outside.js';
import type { FromShell, ShellCommand, ShellSetup, ToShell } from './shell.js';
import { heard as hearing, tapped } from './tap.js';

const port = parentPort!;
/** Taken now: the shell takes them away from whatever runs in it. */
const { store, wait } = Atomics;
const { syncPort, wakeUp } = workerData as ShellSetup;
const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
let lastId = 0;

/** Calls a function of the main thread. */
function ask(target: 'fs' | 'network' | 'output', method: string, args: readonly unknown[]): Promise<never> {
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
const fs = Object.fromEntries([
  ...METHODS.map((method) => [method, (...args: unknown[]) => ask('fs', method, args)]),
  ['getAllPaths', () => askNow('getAllPaths', [])],
  ['resolvePath', (base: string, path: string) => paths.resolvePath(base, path)],
]) as unknown as IFileSystem;

const network: GuestNetwork = {
  call: (...args) => ask('network', 'call', args),
  reach: (...args) => ask('network', 'reach', args),
};

async function run({ line, name, user, uid, cwd, env, stdin, hasNetwork }: ShellCommand): Promise<void> {
  const outside = hasNetwork ? network : undefined;
  const shell = new Bash({
    fs: tapped(fs as MountableFs, (stream, bytes) => ask('output', stream, [bytes])),
    cwd,
    env,
    processInfo: { pid: 1, uid, gid: uid },
    customCommands: commandsOf({ name, user, uid, outside }),
    executionLimits: { maxCommandCount: 10_000_000, maxLoopIterations: 10_000_000 },
    ...(outside && { fetch: fetchFrom(outside, name) }),
  });
  // A line that redirects its own output permanently runs unchanged.
  if (!/\bexec\b/.test(line))
    shell.registerTransformPlugin({ name: 'tap', transform: ({ ast }) => ({ ast: hearing(ast) }) });
  const { stdout, stderr, exitCode, stdoutKind } = await shell.exec(line, {
    rawScript: true,
    ...(stdin && { stdin: Buffer.from(stdin).toString('latin1'), stdinKind: 'bytes' as const }),
  });
  // The shell's own message about a line that it cannot parse.
  if (stdout !== '') await ask('output', 'stdout', [bytesOf(stdout, stdoutKind)]);
  if (stderr !== '') await ask('output', 'stderr', [Buffer.from(stderr, 'utf8')]);
  post({ type: 'end', exit: exitCode });
}

/** The shell gives bytes as Latin-1 text, unless it marks the output as text. */
function bytesOf(output: string, kind: string | undefined): Uint8Array {
  const isBytes = kind === 'bytes' || ![...output].some((character) => character > '\xff');
  return isBytes ? Buffer.from(output, 'latin1') : Buffer.from(output, 'utf8');
}

port.on('message', (message: ToShell) => {
  if (message.type === 'run') {
    run(message.command).catch((error: Error) =>
      post({ type: 'failed', message: error.stack ?? error.message }),
    );
    return;
  }
  const call = waiting.get(message.id)!;
  waiting.delete(message.id);
  if (message.error === undefined) call.resolve(message.value);
  else call.reject(Object.assign(new Error(message.error.message), message.error));
});
