import { exchange, openStream } from '../adminapi/exchange.js';
import type { HostSpec } from '../host-spec.js';
import { installEffects } from './effects/index.js';
import { plugAll, unplug } from './plug.js';
import { populate } from './populate.js';
import { stopped } from './power.js';
import { read } from './properties/access.js';
import type { Device } from './qube.js';
import { type HostSnapshot, snapshotOf } from './snapshot.js';
import { type HostOptions, HostState } from './state.js';
import { type SystemInfo, systemInfo } from './system.js';
import { type QubeView, viewOf } from './view.js';

/**
 * A simulated Qubes host as its dom0 knows it: qubes, volumes, labels, pools, devices, and operations in progress. Callers use
 * `call` and `stream`, in the bytes of the Admin API; the methods below are for the other parts of the simulation (guests,
 * policy) and for tests.
 */
export class Host extends HostState {
  static load(world: HostSpec, options: HostOptions = {}): Host {
    const host = new Host(options.api ?? world.api ?? '4.4', options, { read }, installEffects);
    populate(host, world);
    return host;
  }

  // The Admin API.

  /** One exchange: a complete request and a complete reply, as on the socket. An empty reply is a closed connection. */
  call(request: Uint8Array): Promise<Uint8Array> {
    return exchange(this, request);
  }

  /** A request with an unlimited reply: `admin.Events`, `admin.vm.Stats`. Resolves when it ends. */
  stream(request: Uint8Array, onBytes: (bytes: Uint8Array) => void, signal: AbortSignal): Promise<void> {
    return openStream(this, request, onBytes, signal);
  }

  // For the other parts of the simulation.

  system(): SystemInfo {
    return systemInfo(this);
  }

  snapshot(): HostSnapshot {
    return snapshotOf(this);
  }

  qube(name: string): QubeView | undefined {
    const qube = this.find(name);
    return qube === undefined ? undefined : viewOf(this, qube);
  }

  /** The domain dies by itself. */
  async crash(name: string): Promise<void> {
    await stopped(this, this.domain(name));
  }

  /** A person plugs devices in or removes them. */
  plug(...devices: readonly Device[]): void {
    plugAll(this, devices);
  }

  unplug(device: Device): void {
    unplug(this, device);
  }
}
