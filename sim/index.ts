/** A simulated Qubes host in one directory: qubesd, qrexec, guests, and the real dom0 daemon. */
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { serveAdminApi } from './adminapi/server.js';
import { serveControl } from './control.js';
import { type Dom0Snapshot, dom0SnapshotOf } from './dom0.js';
import { BwrapEngine } from './guests/bwrap.js';
import type { GuestEngine } from './guests/guest.js';
import { MemoryEngine } from './guests/memory.js';
import type { MemoryService } from './guests/memory-guest.js';
import type { GuestNetwork } from './guests/outside.js';
import { ProcessEngine } from './guests/processes.js';
import type { Api } from './host/api.js';
import { Host } from './host/host.js';
import type { HostSnapshot } from './host/snapshot.js';
import { type HostSpec, loadHostSpec } from './host-spec.js';
import { Network } from './network/network.js';
import type { Destination, Reach } from './network/reach.js';
import { answerUpdates, reachUpdates } from './network/updates.js';
import { Qmcpd } from './qmcpd.js';
import { Qrexec } from './qrexec/daemon.js';
import { Endpoint } from './qrexec/endpoint.js';
import { Input } from './qrexec/input.js';
import { RunningGuests } from './qrexec/insides.js';
import { packageFile } from './root.js';

export { Host } from './host/host.js';
export { type HostSpec, loadHostSpec } from './host-spec.js';
export type { Operator, Question } from './qrexec/daemon.js';

export interface SimOptions {
  /** The name of a shipped file that describes a host, the path of such a file, or its content. */
  readonly spec: string | HostSpec;
  /** The directory for all files of the host. Keep it short: paths of sockets have at most 107 bytes. */
  readonly dir: string;
  readonly seed?: number | undefined;
  /** The release whose Admin API it speaks; by default that of `spec`. */
  readonly api?: Api | undefined;
  /**
   * The kind of guests: a shell in memory (the default); real processes in a bubblewrap sandbox; or, for tests whose commands
   * are trusted, plain processes of the current user.
   */
  readonly guests?: 'memory' | 'bwrap' | 'processes';
  /** Services of guests in memory in addition to their own, by name. */
  readonly services?: Readonly<Record<string, MemoryService>>;
  /** Changes dom0's files as an operator might have done, before qmcpd reads them. */
  readonly prepare?: (root: string) => void | Promise<void>;
  /** Gets qmcpd's standard error. */
  readonly echo?: (text: string) => void;
}

export interface CallResult {
  readonly exit: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

export interface SimHost {
  readonly dir: string;
  /** dom0's root: `etc`, `run`, `var` as on a real machine. */
  readonly root: string;
  readonly host: Host;
  readonly qrexec: Qrexec;
  readonly qmcpd: Qmcpd;
  readonly network: Network;
  /** The actual state, including dom0's files. */
  snapshot(): HostSnapshot & { readonly dom0: Dom0Snapshot };
  /** The path of a qrexec-client-vm that calls from inside this qube. */
  client(source: string): Promise<string>;
  /** Whether a packet from that qube would arrive. */
  reach(from: string, destination: Destination): Reach;
  /** Makes a call from that qube. */
  call(source: string, target: string, service: string, stdin: Uint8Array): Promise<CallResult>;
  close(): Promise<void>;
}

export async function startHost({
  spec: world,
  dir,
  seed,
  api,
  guests = 'memory',
  services = {},
  prepare,
  echo,
}: SimOptions): Promise<SimHost> {
  const loaded = typeof world === 'string' ? loadHostSpec(world) : world;
  const root = join(dir, 'dom0');
  layOut(root, loaded.qmcp);
  await prepare?.(root);

  const host = Host.load(loaded, { ...(seed !== undefined && { seed }), ...(api !== undefined && { api }) });
  const closing: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const one of closing.splice(0).reverse()) await one();
  };
  try {
    const qubesd = await serveAdminApi(host, join(root, 'run/qubesd.sock'));
    closing.push(() => qubesd.close());
    // Guests call out through the daemon, and the daemon calls into guests: `qrexec` is set below.
    const outside: GuestNetwork = {
      call: (source, target, service, stdin) => once(qrexec, { source, target, service }, stdin),
      reach: (from, destination) => network.reach(from, destination),
      reachUpdates: (from, destination) => reachUpdates(host, network, outside.call, from, destination),
      answerUpdates: async (name, request) => answerUpdates(host, network, name, request),
    };
    const network = new Network(host);
    closing.push(async () => network.close());
    const engine =
      guests === 'bwrap'
        ? sandboxes(join(dir, 'guests'))
        : guests === 'processes'
          ? new ProcessEngine(join(dir, 'guests'))
          : new MemoryEngine(outside, (name) => host.qube(name)?.template ?? null, services);
    const insides = await RunningGuests.of(host, engine);
    closing.push(() => insides.close());
    const qrexec = new Qrexec(host, root, insides, join(root, 'var/log/qubes/qrexec.log'));
    // The qrexec policy decides which qubes a qube may list and hear of through the Admin API.
    host.visible = (service, argument, source, target) =>
      qrexec.allows({ service, argument, source, target });
    const control = await serveControl({ host, qrexec }, join(dir, 'ctl.sock'));
    closing.push(() => control.close());
    const qmcpd = new Qmcpd(root, echo);
    closing.push(() => qmcpd.kill());
    await qmcpd.start();
    link(join(root, 'run/qubesd.sock'), join(dir, 'qubesd.sock'));
    link(join(root, 'run/qmcp/qmcpd.sock'), join(dir, 'qmcpd.sock'));

    const endpoints = new Map<string, Promise<Endpoint>>();
    closing.push(async () => {
      for (const endpoint of endpoints.values()) await (await endpoint).close();
    });
    return {
      dir,
      root,
      host,
      qrexec,
      qmcpd,
      close,
      network,
      reach: (from, destination) => network.reach(from, destination),
      snapshot: () => ({ ...host.snapshot(), dom0: dom0SnapshotOf(root) }),
      client: async (source) => {
        const endpoint =
          endpoints.get(source) ?? Endpoint.listen(qrexec, source, join(dir, 'qrexec', source));
        endpoints.set(source, endpoint);
        return (await endpoint).client;
      },
      call: (source, target, service, stdin) => once(qrexec, { source, target, service }, stdin),
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A host starts with new disks: files of an earlier run are not its own. */
function sandboxes(dir: string): GuestEngine {
  const why = BwrapEngine.unavailable();
  if (why !== undefined) throw new Error(`--guests bwrap needs bubblewrap: ${why}`);
  rmSync(dir, { recursive: true, force: true });
  return new BwrapEngine(dir);
}

async function once(
  qrexec: Qrexec,
  call: { source: string; target: string; service: string },
  stdin: Uint8Array,
): Promise<CallResult> {
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const exit = await qrexec.call(call, {
    stdin: Input.of(stdin),
    stdout: (bytes) => out.push(bytes),
    stderr: (bytes) => err.push(bytes),
    signal: new AbortController().signal,
  });
  return { exit, stdout: Buffer.concat(out), stderr: Buffer.concat(err) };
}

/** Prepares dom0 like our installer, with the platform's default policy after ours. */
function layOut(root: string, config = packageFile('dom0/qmcp.toml')): void {
  for (const directory of [
    'etc/qubes/policy.d',
    'etc/qubes-rpc',
    'etc/qmcp',
    'run/qmcp',
    'var/lib/qmcp',
    'var/log/qmcp',
  ])
    mkdirSync(join(root, directory), { recursive: true });
  copyFileSync(config, join(root, 'etc/qmcp/qmcp.toml'));
  cpSync(packageFile('dom0/contracts'), join(root, 'etc/qmcp/contracts'), { recursive: true });
  for (const policy of ['dom0/policy/30-qmcp.policy', 'sim/policy/90-default.policy'])
    copyFileSync(packageFile(policy), join(root, 'etc/qubes/policy.d', basename(policy)));
  const socket = join(root, 'run/qmcp/qmcpd.sock');
  for (const service of ['qmcp.Catalog', ...dom0Services(join(root, 'etc/qmcp/contracts'))])
    link(socket, join(root, 'etc/qubes-rpc', service));
}

function dom0Services(contracts: string): string[] {
  return readdirSync(contracts)
    .map(
      (file) => JSON.parse(readFileSync(join(contracts, file), 'utf8')) as { service: string; route: string },
    )
    .filter(({ route }) => route === 'dom0')
    .map(({ service }) => service);
}

/** Every host makes dozens of links, and most of them are new. */
function link(target: string, path: string): void {
  try {
    symlinkSync(target, path);
  } catch {
    rmSync(path, { force: true });
    symlinkSync(target, path);
  }
}
