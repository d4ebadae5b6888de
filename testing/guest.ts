import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { python } from '../sim/python.js';

/** One call of a guest service, as the service sees it. */
export interface GuestCall {
  /** The qube it runs in. */
  readonly qube: string;
  /** The qube that called. */
  readonly source: string;
  /** A folder that stands for what this qube keeps, for as long as the host lives. */
  readonly folder: string;
  /** The request line, then frames of input: see PROTOCOL.md of the guest package. It ends when the caller has gone. */
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
}

export interface GuestOutcome {
  /** Frames: see PROTOCOL.md of the guest package. */
  readonly stdout: Uint8Array;
  readonly exit: number;
}

/** What answers a guest service inside the simulated qubes. */
export type GuestProgram = (call: GuestCall) => Promise<GuestOutcome>;

/** Seconds a program has. */
const LIMIT = 60;

/**
 * The program that ships in the template, run on this machine as a process of its own: `program(['python3', 'guest/x.py'])`.
 * A template has a `python3`; here that is the one QMCP_PYTHON names, or else the one in PATH.
 * Its working directory and HOME are the qube's folder; `env` adds to an environment with nothing in it but PATH and what
 * qrexec says of the call.
 */
export function program(
  command: readonly [string, ...string[]],
  env: (call: GuestCall) => Readonly<Record<string, string>> = () => ({}),
): GuestProgram {
  return (call) =>
    new Promise((resolve, reject) => {
      const [file, ...words] = command;
      const child = spawn(file === 'python3' ? python() : file, words, {
        cwd: call.folder,
        env: {
          PATH: process.env.PATH,
          HOME: call.folder,
          QREXEC_REMOTE_DOMAIN: call.source,
          ...env(call),
        },
        stdio: ['pipe', 'pipe', 'inherit'],
        signal: AbortSignal.any([call.signal, AbortSignal.timeout(LIMIT * 1000)]),
      });
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      // A program that ends, or reads no further, takes the rest of its input along.
      pipeline(Readable.from(call.stdin), child.stdin).catch(() => {});
      child.once('error', (error) => {
        if (call.signal.aborted) resolve({ stdout: new Uint8Array(), exit: 1 });
        else reject(error);
      });
      child.once('close', (code) => resolve({ stdout: Buffer.concat(chunks), exit: code ?? 1 }));
    });
}
