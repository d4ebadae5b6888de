/** Services of dom0: found in its directories, and connected to or executed, like qrexec does. */
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { connect, type NetConnectOpts } from 'node:net';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { CANNOT_RUN, type CallIo, NO_SUCH_SERVICE } from './call.js';
import { DEFAULTS, parseRpcConfig, type RpcConfig } from './rpc-config.js';
import { tcpAddress, tcpLink } from './tcp.js';

const SERVICES = ['run/qubes-rpc', 'usr/local/etc/qubes-rpc', 'etc/qubes-rpc'];
const CONFIGS = ['run/qubes/rpc-config', 'usr/local/etc/qubes/rpc-config', 'etc/qubes/rpc-config'];
/** The maximum length of a file name. A service with a longer name cannot exist or be called. */
const MAX_NAME = 255;

export interface Dom0Call {
  readonly service: string;
  readonly argument: string;
  readonly source: string;
  /** The requested target, even if the policy sent the call elsewhere. */
  readonly requested: string;
}

/** Sends a call to the service of that name under `root`. Returns the exit code for the caller. */
export async function dom0Service(root: string, call: Dom0Call, io: CallIo): Promise<number> {
  const config = configOf(root, call);
  if (call.service.length > MAX_NAME || config === undefined) return CANNOT_RUN;
  const path = find(root, SERVICES, call);
  if (path === undefined) return NO_SUCH_SERVICE;
  const link = tcpLink(path);
  if (link !== undefined) {
    const address = tcpAddress(link, call.argument);
    return address === undefined ? CANNOT_RUN : overSocket(address, call, config, io);
  }
  if (statSync(path).isSocket()) return overSocket({ path }, call, config, io);
  try {
    accessSync(path, constants.X_OK);
  } catch {
    return CANNOT_RUN;
  }
  return execute(path, call, io);
}

/** First the name with the argument, in every directory, then the general name. */
function find(root: string, directories: readonly string[], call: Dom0Call): string | undefined {
  for (const name of [fullName(call), call.service].filter(({ length }) => length <= MAX_NAME))
    for (const directory of directories) {
      const path = join(root, directory, name);
      if (existsSync(path) || tcpLink(path) !== undefined) return path;
    }
  return undefined;
}

function configOf(root: string, call: Dom0Call): RpcConfig | undefined {
  const path = find(root, CONFIGS, call);
  return path === undefined ? DEFAULTS : parseRpcConfig(readFileSync(path, 'latin1'));
}

/** With its `+`, which a call without an argument also has. */
const fullName = ({ service, argument }: Dom0Call): string => `${service}+${argument}`;

/** The requested target, as a keyword or a name. */
const requestedAs = ({ requested }: Dom0Call): ['keyword' | 'name', string] =>
  requested.startsWith('@') ? ['keyword', requested.slice(1)] : ['name', requested];

/** A socket service has no exit code: after it was connected to, the code is always 0. */
function overSocket(where: NetConnectOpts, call: Dom0Call, config: RpcConfig, io: CallIo): Promise<number> {
  return new Promise((resolve) => {
    const socket = connect({ ...where, allowHalfOpen: true } as NetConnectOpts);
    let connected = false;
    socket.once('connect', () => {
      connected = true;
      if (!config.skipServiceDescriptor)
        socket.write(`${fullName(call)} ${call.source} ${requestedAs(call).join(' ')}\0`);
      const input = Readable.from(io.stdin).on('error', () => socket.destroy());
      if (config.exitOnClientEof) socket.once('finish', () => socket.destroy());
      input.pipe(socket);
    });
    forward(socket, io);
    socket.on('error', () => socket.destroy());
    socket.once('end', () => socket.destroy());
    socket.once('close', () => resolve(connected ? 0 : CANNOT_RUN));
    io.signal.addEventListener('abort', () => socket.destroy(), { once: true });
  });
}

function execute(path: string, call: Dom0Call, io: CallIo): Promise<number> {
  const { argument, source } = call;
  const [type, requested] = requestedAs(call);
  return new Promise((resolve) => {
    const child = spawn(path, argument === '' ? [] : [argument], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: {
        PATH: process.env.PATH,
        QREXEC_SERVICE_FULL_NAME: fullName(call),
        QREXEC_SERVICE_ARGUMENT: argument,
        QREXEC_REMOTE_DOMAIN: source,
        QREXEC_REQUESTED_TARGET_TYPE: type,
        [type === 'keyword' ? 'QREXEC_REQUESTED_TARGET_KEYWORD' : 'QREXEC_REQUESTED_TARGET']: requested,
      },
    });
    child.once('error', () => resolve(CANNOT_RUN));
    forward(child.stdout, io);
    child.stdin.on('error', () => {});
    Readable.from(io.stdin)
      .on('error', () => child.stdin.destroy())
      .pipe(child.stdin);
    child.once('close', (code, signal) => resolve(signal === null ? (code ?? 0) : 128 + os.signals[signal]));
    // When the caller disconnects, only the pipes close.
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

/** Passes a service's output on, no faster than the caller reads. */
function forward(from: Readable, io: CallIo): void {
  from.on('data', (chunk: Buffer) => {
    io.stdout(chunk);
    const drained = io.drained?.();
    if (drained === undefined) return;
    from.pause();
    drained.then(() => from.resume());
  });
}
