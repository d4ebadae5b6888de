import { repr } from './errors.js';
import type { Assignment, Device, DeviceClass, DeviceRef, Qube } from './qube.js';
import type { HostState } from './state.js';

export const nameOf = (ref: DeviceRef): string => `${ref.backend}:${ref.port}:${ref.id}`;
export const refOf = (device: Device): DeviceRef => ({
  backend: device.backend.name,
  port: device.port,
  id: device.id,
});

export function exposed(host: HostState, backend: Qube, devclass: DeviceClass): Device[] {
  // A halted qube has no devices to show; dom0 always runs.
  return backend.running || backend === host.dom0 ? (backend.devices.exposed.get(devclass) ?? []) : [];
}

export function findDevice(host: HostState, devclass: DeviceClass, ref: DeviceRef): Device | undefined {
  const backend = host.find(ref.backend);
  if (backend === undefined) return undefined;
  const found = exposed(host, backend, devclass).filter(
    (device) => (ref.port === '*' || device.port === ref.port) && (ref.id === '*' || device.id === ref.id),
  );
  return found.length === 1 ? found[0] : undefined;
}

/** The qube to which a device is attached. */
export function holderOf(host: HostState, device: Device): Qube | undefined {
  for (const qube of host.qubes()) {
    if (qube.devices.attached.get(device.devclass)?.some((each) => each.device === device)) return qube;
  }
  return undefined;
}

export function matches(assignment: Assignment, device: Device): boolean {
  return (
    assignment.backend === device.backend.name &&
    (assignment.port === '*' || assignment.port === device.port) &&
    (assignment.id === '*' || assignment.id === device.id)
  );
}

export function devicesOf(host: HostState, devclass: DeviceClass, assignment: Assignment): Device[] {
  const backend = host.find(assignment.backend);
  return backend === undefined
    ? []
    : exposed(host, backend, devclass).filter((device) => matches(assignment, device));
}

export function listOf<T>(map: Map<DeviceClass, T[]>, devclass: DeviceClass): T[] {
  let list = map.get(devclass);
  if (list === undefined) {
    list = [];
    map.set(devclass, list);
  }
  return list;
}

/** Options as events carry them: as Python's `repr` prints a dictionary. */
export function dict(options: ReadonlyMap<string, string>): string {
  return `{${[...options].map(([key, value]) => `${repr(key)}: ${repr(value)}`).join(', ')}}`;
}
