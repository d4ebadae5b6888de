import { repr } from './errors.js';
import type { Host } from './host.js';
import type { Qube } from './qube.js';

export const DEVICE_CLASSES = ['block', 'mic', 'pci', 'usb'] as const;
export type DeviceClass = (typeof DEVICE_CLASSES)[number];

/** A device as the qube that has it (its backend) exposes it. */
export interface Device {
  readonly backend: Qube;
  readonly devclass: DeviceClass;
  readonly port: string;
  readonly id: string;
  readonly interfaces: string;
  /** vendor, product, manufacturer, name, serial: those that are known. */
  readonly labels: ReadonlyMap<string, string>;
  readonly parent: string | null;
  readonly mode: 'r' | 'w';
  readonly size: number;
}

export type Mode = 'manual' | 'auto-attach' | 'ask-to-attach' | 'required';

/** A device, or every device of a port (`id` = `*`), given to a qube for good. */
export interface Assignment {
  readonly backend: string;
  readonly port: string;
  readonly id: string;
  readonly mode: Mode;
  readonly options: ReadonlyMap<string, string>;
  /** The qube it is for, when whoever assigned it said so; it is shown only then. */
  readonly frontend: string | null;
}

export interface Attachment {
  readonly device: Device;
  readonly options: ReadonlyMap<string, string>;
}

export interface Devices {
  readonly exposed: Map<DeviceClass, Device[]>;
  readonly attached: Map<DeviceClass, Attachment[]>;
  readonly assigned: Map<DeviceClass, Assignment[]>;
}

/** A device as a caller names it. */
export interface DeviceRef {
  readonly backend: string;
  readonly port: string;
  readonly id: string;
}

export const nameOf = (ref: DeviceRef): string => `${ref.backend}:${ref.port}:${ref.id}`;
export const refOf = (device: Device): DeviceRef => ({
  backend: device.backend.name,
  port: device.port,
  id: device.id,
});

export function exposed(host: Host, backend: Qube, devclass: DeviceClass): Device[] {
  // A halted qube shows nothing; dom0 always runs.
  return backend.running || backend === host.dom0 ? (backend.devices.exposed.get(devclass) ?? []) : [];
}

export function findDevice(host: Host, devclass: DeviceClass, ref: DeviceRef): Device | undefined {
  const backend = host.find(ref.backend);
  if (backend === undefined) return undefined;
  const found = exposed(host, backend, devclass).filter(
    (device) => (ref.port === '*' || device.port === ref.port) && (ref.id === '*' || device.id === ref.id),
  );
  return found.length === 1 ? found[0] : undefined;
}

/** The qube a device is attached to. */
export function holderOf(host: Host, device: Device): Qube | undefined {
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

export function devicesOf(host: Host, devclass: DeviceClass, assignment: Assignment): Device[] {
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

/** Options as Python's `repr` prints a dictionary; that is how they travel in events. */
export function dict(options: ReadonlyMap<string, string>): string {
  return `{${[...options].map(([key, value]) => `${repr(key)}: ${repr(value)}`).join(', ')}}`;
}
