import { holderOf, listOf, nameOf, refOf } from './devices.js';
import type { Device, Qube } from './qube.js';
import type { HostState } from './state.js';

/** Devices appear; several at once when a disk comes with its partitions. */
export function plugAll(host: HostState, devices: readonly Device[]): void {
  const first = devices[0];
  if (first === undefined) return;
  for (const device of devices) listOf(device.backend.devices.exposed, device.devclass).push(device);
  host.fire(first.backend, `device-list-change:${first.devclass}`);
  for (const device of [...devices].sort((a, b) => (nameOf(refOf(a)) < nameOf(refOf(b)) ? -1 : 1))) {
    host.fire(device.backend, `device-added:${device.devclass}`, { device: nameOf(refOf(device)) });
  }
  if (first.devclass === 'block') qdbChanged(host, first.backend);
}

export function unplug(host: HostState, device: Device): void {
  const list = listOf(device.backend.devices.exposed, device.devclass);
  const at = list.indexOf(device);
  if (at < 0) return;
  list.splice(at, 1);
  host.fire(device.backend, `device-list-change:${device.devclass}`);
  const holder = holderOf(host, device);
  if (holder !== undefined) drop(host, holder, device);
  host.fire(device.backend, `device-removed:${device.devclass}`, {
    port: `${device.backend.name}:${device.port}`,
  });
}

function qdbChanged(host: HostState, backend: Qube): void {
  const path = '/qubes-block-devices';
  host.fire(backend, `domain-qdb-change:${path}`, { path });
}

/** The device disappears without the qube's consent. */
function drop(host: HostState, holder: Qube, device: Device): void {
  const list = listOf(holder.devices.attached, device.devclass);
  list.splice(
    list.findIndex((each) => each.device === device),
    1,
  );
  host.fire(holder, `device-detach:${device.devclass}`, { port: `${device.backend.name}:${device.port}` });
}

/** A domain that ended has no devices and exposes none. */
export function releaseDevices(host: HostState, qube: Qube): void {
  for (const [devclass, list] of qube.devices.exposed) {
    for (const device of [...list]) {
      host.fire(qube, `device-removed:${devclass}`, { port: `${qube.name}:${device.port}` });
      const holder = holderOf(host, device);
      if (holder !== undefined) drop(host, holder, device);
    }
  }
  for (const [devclass, list] of qube.devices.attached) {
    for (const { device } of list.splice(0)) {
      host.fire(qube, `device-detach:${devclass}`, { port: `${device.backend.name}:${device.port}` });
    }
  }
}
