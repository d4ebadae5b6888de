import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { python } from '../../sim/python.js';

const PROGRAM = fileURLToPath(new URL('../../sim/main.js', import.meta.url));
/** Seconds a simulated host has to come up: dom0's daemon is a Python process. */
const START = 30;
const STOP = 5;

/** A simulated host in a process of its own. */
export interface SimulatedHost {
  /** An executable that behaves as qrexec-client-vm does in the control qube of this host. */
  readonly client: string;
  /** Everything the host has on disk; `dom0/` in it is dom0's root. */
  readonly dir: string;
  stop(): Promise<void>;
}

/**
 * Starts one and waits until it answers. `world` is the name of a shipped world or a file. What the host prints goes to
 * standard error, or nowhere when `quiet`. Without `dir` it lives in a folder of its own, which goes when it stops.
 */
export async function startSimulatedHost(options: {
  readonly world: string;
  readonly dir?: string | undefined;
  readonly quiet?: boolean;
  /** Further arguments of the program, as in `--api 4.3`. */
  readonly more?: readonly string[];
}): Promise<SimulatedHost> {
  const dir = options.dir ? resolve(options.dir) : mkdtempSync(join(tmpdir(), 'qmcp-'));
  const world = existsSync(options.world) ? resolve(options.world) : options.world;
  const stderr = options.quiet ? 'ignore' : 2;
  // Asked for here, so that a machine without it is told so in one line, and the processes started from here know it.
  python();
  const child = fork(PROGRAM, ['--world', world, '--dir', dir, ...(options.more ?? [])], {
    stdio: ['ignore', stderr, 'pipe', 'ipc'],
  });
  // Kept for the case that it does not come up.
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-4096);
    if (!options.quiet) process.stderr.write(chunk);
  });

  const forget = cleanUpOnExit(() => {
    if (!options.dir) rmSync(dir, { recursive: true, force: true });
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      if (child.connected) child.disconnect();
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP * 1000);
      await gone;
      clearTimeout(timer);
    }
    forget();
  };

  try {
    const ready = once(child, 'message') as Promise<[{ ready: true; client: string; dir: string }]>;
    const ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`the simulated host ended with ${signal ?? `exit code ${code}`}\n${said.trim()}`);
    });
    const late = AbortSignal.timeout(START * 1000);
    const tooLate = once(late, 'abort').then(() => {
      throw new Error(`the simulated host was not ready within ${START} s\n${said.trim()}`);
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
 * Runs `work` once: when the returned function is called, or when this process ends first. A signal nobody else
 * listens to ends it properly; the host notices that its parent is gone.
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
