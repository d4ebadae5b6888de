import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { python } from '../../sim/python.js';

const PROGRAM = fileURLToPath(new URL('../../sim/main.js', import.meta.url));
/** Seconds that a simulated host may take to start, which includes dom0's daemon, a Python process. */
const START_TIMEOUT = 30;
const STOP_TIMEOUT = 5;

/** A simulated host in a process of its own. */
export interface HostProcess {
  /** An executable that behaves as qrexec-client-vm does in the control qube of this host. */
  readonly client: string;
  /** The folder of all files of the host; `dom0/` inside it is dom0's root. */
  readonly dir: string;
  stop(): Promise<void>;
}

/**
 * Starts one and waits until it answers. `world` is the name of a shipped world file or a path. The host's output goes to
 * standard error, or is dropped when `quiet`. Without `dir` it uses a new folder, which is removed when it stops.
 */
export async function startSimulatedHost(options: {
  readonly world: string;
  readonly dir?: string | undefined;
  readonly quiet?: boolean;
  /** Further arguments of the program, as in `--api 4.3`. */
  readonly more?: readonly string[];
}): Promise<HostProcess> {
  const dir = options.dir ? resolve(options.dir) : mkdtempSync(join(tmpdir(), 'qmcp-'));
  const world = existsSync(options.world) ? resolve(options.world) : options.world;
  const stderr = options.quiet ? 'ignore' : 2;
  // Called here so that a missing interpreter is reported in one line, and child processes inherit the result.
  python();
  const child = fork(PROGRAM, ['--world', world, '--dir', dir, ...(options.more ?? [])], {
    stdio: ['ignore', stderr, 'pipe', 'ipc'],
  });
  // Kept for the error message if the host does not start.
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString()).slice(-4096);
    if (!options.quiet) process.stderr.write(chunk);
  });

  const forget = cleanUpOnExit(() => {
    if (!options.dir) rmSync(dir, { recursive: true, force: true });
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const exited = once(child, 'exit');
      if (child.connected) child.disconnect();
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT * 1000);
      await exited;
      clearTimeout(timer);
    }
    forget();
  };

  try {
    const ready = once(child, 'message') as Promise<[{ ready: true; client: string; dir: string }]>;
    const ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`the simulated host ended with ${signal ?? `exit code ${code}`}\n${errors.trim()}`);
    });
    const late = AbortSignal.timeout(START_TIMEOUT * 1000);
    const tooLate = once(late, 'abort').then(() => {
      throw new Error(`the simulated host was not ready within ${START_TIMEOUT} s\n${errors.trim()}`);
    });
    for (const loser of [ended, tooLate]) loser.catch(() => {});
    const [message] = await Promise.race([ready, ended, tooLate]);
    return { client: message.client, dir: message.dir, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Runs `work` once: when the returned function is called, or when this process exits, whichever comes first. Without another
 * listener, a signal exits the process with `work` done; the host notices that its parent has exited.
 */
function cleanUpOnExit(work: () => void): () => void {
  const codes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
  const onSignal = (signal: keyof typeof codes) => {
    if (process.listenerCount(signal) === 1) process.exit(codes[signal]);
  };
  const signals = Object.keys(codes) as (keyof typeof codes)[];
  for (const signal of signals) process.on(signal, onSignal);
  process.once('exit', work);
  return () => {
    for (const signal of signals) process.off(signal, onSignal);
    process.off('exit', work);
    work();
  };
}
