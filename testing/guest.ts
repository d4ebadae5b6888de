import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { installQubesdbRead } from '../sim/guests/qubesdb.js';
import { python } from '../sim/python.js';

/** One call of a guest service, as the service sees it. */
export interface GuestCall {
  /** The qube it runs in. */
  readonly qube: string;
  /** The argument of the call, which a guest service compares with the name of its qube. */
  readonly argument: string;
  /** The qube that called. */
  readonly source: string;
  /** A folder that stands for the qube's disk while the host runs. */
  readonly folder: string;
  /** The request line, then frames of input: see PROTOCOL.md of the guest package. It ends when the caller is gone. */
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
}

export interface GuestOutcome {
  /** Frames: see PROTOCOL.md of the guest package. */
  readonly stdout: Uint8Array;
  readonly exit: number;
}

/** Answers a guest service inside the simulated qubes. */
export type GuestProgram = (call: GuestCall) => Promise<GuestOutcome>;

/** Seconds a program may run. */
const LIMIT = 60;

/**
 * Runs the program that ships in the template as a process on this machine: `program(['python3', 'guest/x.py'])`. `python3` is
 * the interpreter that QMCP_PYTHON names, or else the one in PATH. The working directory and HOME are the qube's folder. The
 * environment has only PATH, HOME and qrexec's variables; `env` adds to it. `qubesdb-read /name` prints the name of the qube.
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
          PATH: `${installQubesdbRead(join(call.folder, '.qubesdb'), call.qube)}${delimiter}${process.env.PATH}`,
          HOME: call.folder,
          QREXEC_REMOTE_DOMAIN: call.source,
          QREXEC_SERVICE_ARGUMENT: call.argument,
          ...env(call),
        },
        stdio: ['pipe', 'pipe', 'inherit'],
        signal: AbortSignal.any([call.signal, AbortSignal.timeout(LIMIT * 1000)]),
      });
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      // A program may end or stop reading before its input is complete.
      pipeline(Readable.from(call.stdin), child.stdin).catch(() => {});
      child.once('error', (error) => {
        if (call.signal.aborted) resolve({ stdout: new Uint8Array(), exit: 1 });
        else reject(error);
      });
      child.once('close', (code) => resolve({ stdout: Buffer.concat(chunks), exit: code ?? 1 }));
    });
}
