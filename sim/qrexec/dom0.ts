/** Services of dom0: found in its directories, connected to or executed, as qrexec does it. */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, lstatSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { connect, type NetConnectOpts } from 'node:net';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CANNOT_RUN, type CallIo, NO_SUCH_SERVICE } from './call.js';

const DIRECTORIES = ['run/qubes-rpc', 'usr/local/etc/qubes-rpc', 'etc/qubes-rpc'];

export interface Dom0Call {
  readonly service: string;
  readonly argument: string;
  readonly source: string;
  /** What the caller asked for, even where the policy sent the call elsewhere. */
  readonly requested: string;
}

/** Carries a call to the service of that name under `root`; the exit code as the caller sees it. */
export async function dom0Service(root: string, call: Dom0Call, io: CallIo): Promise<number> {
  const path = find(root, call);
  if (path === undefined) return NO_SUCH_SERVICE;
  const tcp = tcpAddress(path);
  if (tcp !== undefined) return overSocket(tcp, new Uint8Array(), io);
  if (statSync(path).isSocket()) return overSocket({ path }, descriptor(root, call), io);
  try {
    accessSync(path, constants.X_OK);
  } catch {
    return CANNOT_RUN;
  }
  return execute(path, call, io);
}

/** The most particular name first, in every directory, then the general one. */
function find(root: string, { service, argument }: Dom0Call): string | undefined {
  for (const name of [`${service}+${argument}`, service])
    for (const directory of DIRECTORIES) {
      const path = join(root, directory, name);
      if (existsSync(path) || tcpAddress(path) !== undefined) return path;
    }
  return undefined;
}

function tcpAddress(path: string): NetConnectOpts | undefined {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return undefined;
  const found = /^\/dev\/tcp\/([^/]+)\/(\d+)$/.exec(readlinkSync(path));
  return found === null ? undefined : { host: found[1]!, port: Number(found[2]) };
}

/** What a socket service reads before the caller's bytes. */
function descriptor(root: string, { service, argument, source, requested }: Dom0Call): Uint8Array {
  const file = join(root, 'etc/qubes/rpc-config', service);
  if (existsSync(file) && /^\s*skip-service-descriptor\s*=\s*true\s*$/m.test(readFileSync(file, 'utf8')))
    return new Uint8Array();
  const [kind, name] = requested.startsWith('@') ? ['keyword', requested.slice(1)] : ['name', requested];
  return Buffer.from(`${service}+${argument} ${source} ${kind} ${name}\0`);
}

/** A socket service has no exit code of its own: it is always 0 once it was connected to. */
function overSocket(where: NetConnectOpts, head: Uint8Array, io: CallIo): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect({ ...where, allowHalfOpen: true } as NetConnectOpts);
    let connected = false;
    socket.once('connect', () => {
      connected = true;
      socket.write(head);
      Readable.from(io.stdin)
        .on('error', () => socket.destroy())
        .pipe(socket);
    });
    socket.on('data', (chunk: Buffer) => io.stdout(chunk));
    socket.on('error', () => socket.destroy());
    socket.once('end', () => socket.destroy());
    socket.once('close', () => resolve(connected ? 0 : CANNOT_RUN));
    io.signal.addEventListener('abort', () => socket.destroy(), { once: true });
  });
}

function execute(path: string, call: Dom0Call, io: CallIo): Promise<number> {
  const { service, argument, source, requested } = call;
  return new Promise((resolve) => {
    const child = spawn(path, argument === '' ? [] : [argument], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {
        PATH: process.env.PATH,
        QREXEC_SERVICE_FULL_NAME: argument === '' ? service : `${service}+${argument}`,
        QREXEC_SERVICE_ARGUMENT: argument,
        QREXEC_REMOTE_DOMAIN: source,
        ...(requested.startsWith('@')
          ? { QREXEC_REQUESTED_TARGET_TYPE: 'keyword', QREXEC_REQUESTED_TARGET_KEYWORD: requested.slice(1) }
          : { QREXEC_REQUESTED_TARGET_TYPE: 'name', QREXEC_REQUESTED_TARGET: requested }),
      },
    });
    child.once('error', () => resolve(CANNOT_RUN));
    child.stdout.on('data', (chunk: Buffer) => io.stdout(chunk));
    child.stdin.on('error', () => {});
    Readable.from(io.stdin)
      .on('error', () => child.stdin.destroy())
      .pipe(child.stdin);
    child.once('close', (code, signal) => resolve(signal === null ? (code ?? 0) : 128 + os.signals[signal]));
    // The caller's going takes the pipes away and nothing else.
    io.signal.addEventListener(
      'abort',
      () => {
        child.stdin.destroy();
        child.stdout.destroy();
      },
      { once: true },
    );
  });
}
