import { covers, parseInterfaces } from './denied.js';
import { ApiError, errors, NoReply, repr } from './errors.js';
import type { Host } from './host.js';
import { parseBool } from './properties/access.js';
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

/** What a caller wants done with it. */
export interface Wish {
  readonly mode: Mode;
  readonly options: Map<string, string>;
  readonly ref: DeviceRef;
  readonly frontend: string | null;
}

export const nameOf = (ref: DeviceRef): string => `${ref.backend}:${ref.port}:${ref.id}`;
const refOf = (device: Device): DeviceRef => ({
  backend: device.backend.name,
  port: device.port,
  id: device.id,
});

/** `BACKEND+PORT[+DEVID]`; `_` stands for any, and what cannot travel in an argument is spelt otherwise. */
export function parseRef(host: Host, argument: string): DeviceRef {
  const at = argument.indexOf('+');
  if (at < 0) throw new NoReply('device without a backend');
  const backend = argument.slice(0, at) === '_' ? '*' : argument.slice(0, at);
  if (backend !== '*' && host.find(backend) === undefined) throw new NoReply(`no backend ${backend}`);
  const rest = argument.slice(at + 1).replaceAll('+', ':');
  const colon = rest.indexOf(':');
  const port = colon < 0 ? rest : rest.slice(0, colon);
  const id = colon < 0 ? '' : rest.slice(colon + 1);
  return {
    backend,
    port: port === '_' ? '*' : port,
    id: id === '' || id === '_' ? '*' : id.replaceAll('_______', '?******'),
  };
}

/** The payload of Attach and Assign: `key='value'` pairs, options with a leading underscore. */
export function parseWish(
  host: Host,
  ref: DeviceRef,
  devclass: DeviceClass,
  untrusted_payload: Uint8Array,
): Wish {
  const text = Buffer.from(untrusted_payload).toString('latin1');
  const options = new Map<string, string>();
  let mode: Mode = 'manual';
  let id = ref.id;
  let frontend: string | null = null;
  for (const [key, value] of pairs(text)) {
    if (key.startsWith('_')) options.set(key.slice(1), value);
    else if (key === 'mode') mode = modeOf(value);
    else if (key === 'device_id') {
      if (ref.id !== '*' && value !== ref.id) {
        throw errors.protocol(`Unrecognized device identity ${repr(value)} expected ${repr(ref.id)}`);
      }
      id = value === '' ? '*' : value;
    } else if (key === 'port_id' || key === 'backend_domain' || key === 'devclass') {
      const expected = key === 'port_id' ? ref.port : key === 'devclass' ? devclass : ref.backend;
      if (value !== expected)
        throw errors.protocol(`Got ${key} ${repr(value)} when expected ${repr(expected)}.`);
    } else if (key === 'frontend_domain') {
      if (host.find(value) === undefined) throw errors.protocol(`No such domain: ${repr(value)}`);
      frontend = value;
    } else {
      throw errors.protocol(`DeviceAssignment.__init__() got an unexpected keyword argument ${repr(key)}`);
    }
  }
  return { mode, options, ref: { ...ref, id }, frontend };
}

function modeOf(text: string): Mode {
  if (text === 'manual' || text === 'auto-attach' || text === 'ask-to-attach' || text === 'required')
    return text;
  throw errors.protocol(`${repr(text)} is not a valid AssignmentMode`);
}

function* pairs(text: string): Generator<[string, string]> {
  let rest = text.trim();
  while (rest !== '') {
    const match = /^([^=\s]+)='((?:[^'\\]|\\.)*)'\s*/.exec(rest);
    if (match === null) {
      yield [/^\S+/.exec(rest)?.[0] ?? rest, ''];
      return;
    }
    yield [match[1] ?? '', (match[2] ?? '').replace(/\\(.)/g, '$1')];
    rest = rest.slice(match[0].length);
  }
}

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

/** May throw before anything is looked at: a caller who asks for a denied kind of device learns only that. */
export function enforceDenied(host: Host, qube: Qube, devclass: DeviceClass, wish: Wish): void {
  if (wish.mode !== 'manual') return;
  const denied = parseInterfaces(String(host.property(qube, 'devices_denied') ?? ''));
  if (denied.length === 0) return;
  const device =
    wish.ref.id === '*' || wish.ref.port === '*' ? undefined : findDevice(host, devclass, wish.ref);
  if (device === undefined) throw errors.denied('Could not load interfaces to verify against denied list');
  for (const pattern of denied) {
    for (const code of parseInterfaces(device.interfaces)) {
      if (covers(pattern, code)) throw errors.denied(`Device exposes a banned interface: ${code}`);
    }
  }
}

export function attach(host: Host, qube: Qube, devclass: DeviceClass, wish: Wish): void {
  if (qube.halted) {
    throw new ApiError(
      'QubesVMNotRunningError',
      'VM not running, cannot attach device, do you mean `assign`?',
    );
  }
  const device = findDevice(host, devclass, wish.ref);
  if (device === undefined) throw errors.protocol(`Cannot attach ambiguous ${devclass} device.`);
  const list = listOf(qube.devices.attached, devclass);
  const shown = nameOf(refOf(device));
  if (list.some((each) => each.device === device)) {
    throw errors.device(
      'DeviceAlreadyAttached',
      `device ${shown} of class ${devclass} already attached to ${qube.name}`,
    );
  }
  host.announce(qube, `device-pre-attach:${devclass}`, { device: shown, options: dict(wish.options) });
  const options = prepareAttachment(host, qube, device, wish.options);
  list.push({ device, options });
  host.fire(qube, `device-attach:${devclass}`, { device: shown, options: dict(options) });
}

/** What the extension of the device class makes of the options, or why it will not. */
export function prepareAttachment(
  host: Host,
  qube: Qube,
  device: Device,
  given: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  if (device.devclass === 'pci' && host.property(qube, 'virt_mode') === 'pvh') {
    throw errors.exception("Can't attach PCI device to VM in pvh mode");
  }
  const holder = holderOf(host, device);
  if (device.devclass !== 'block') {
    if (holder !== undefined) throw alreadyAttached(device, holder);
    return given;
  }
  const options = new Map<string, string>();
  for (const [option, value] of given) {
    if (option === 'frontend-dev') {
      if (!value.startsWith('xvd') && !value.startsWith('sd')) {
        throw errors.value(`Invalid frontend-dev option value: ${value}`);
      }
      options.set(option, value);
    } else if (option === 'read-only') options.set(option, parseBool(value) ? 'yes' : 'no');
    else if (option === 'devtype') {
      if (value !== 'disk' && value !== 'cdrom') {
        throw errors.value("devtype option can only have 'disk' or 'cdrom' value");
      }
      options.set(option, value);
    } else throw errors.value(`Unsupported option ${option}`);
  }
  if (!options.has('read-only')) options.set('read-only', device.mode === 'r' ? 'yes' : 'no');
  if (options.get('read-only') === 'no' && device.mode === 'r') {
    throw errors.value('This device can be attached only read-only');
  }
  if (holder !== undefined) throw alreadyAttached(device, holder);
  if (!options.has('frontend-dev')) options.set('frontend-dev', freeFrontend(qube, options.get('devtype')));
  return options;
}

function alreadyAttached(device: Device, holder: Qube): ApiError {
  return errors.device(
    'DeviceAlreadyAttached',
    `Device ${nameOf(refOf(device))} already attached to ${holder.name}`,
  );
}

function freeFrontend(qube: Qube, devtype: string | undefined): string {
  const used = new Set(
    (qube.devices.attached.get('block') ?? []).map((each) => each.options.get('frontend-dev')),
  );
  if (devtype === 'cdrom' && !used.has('xvdd')) return 'xvdd';
  for (const letter of 'ijklmnopqrstuvwxyz') if (!used.has(`xvd${letter}`)) return `xvd${letter}`;
  throw new NoReply('no block device name is left');
}

export function detach(host: Host, qube: Qube, devclass: DeviceClass, ref: DeviceRef): void {
  const list = listOf(qube.devices.attached, devclass);
  const found = list.find((each) => each.device.port === ref.port);
  if (found === undefined) {
    const type = host.since('4.3') ? 'DeviceNotAssigned' : 'DeviceNotAttached';
    throw errors.device(type, `${devclass} device ${ref.port} not attached to ${qube.name}`);
  }
  const required = listOf(qube.devices.assigned, devclass).some(
    (each) => each.mode === 'required' && matches(each, found.device),
  );
  if (required && !qube.halted) {
    throw errors.notHalted(
      qube.name,
      'Can not detach a required device from a non halted qube. You need to unassign device first.',
    );
  }
  const port = `${found.device.backend.name}:${found.device.port}`;
  host.announce(qube, `device-pre-detach:${devclass}`, { port });
  list.splice(list.indexOf(found), 1);
  host.fire(qube, `device-detach:${devclass}`, { port });
}

export function assign(host: Host, qube: Qube, devclass: DeviceClass, wish: Wish): void {
  const list = listOf(qube.devices.assigned, devclass);
  const shown = nameOf(wish.ref);
  if (list.some((each) => nameOf(each) === shown)) {
    throw errors.device(
      'DeviceAlreadyAssigned',
      `${devclass} device ${shown} already assigned to ${qube.name}`,
    );
  }
  if (wish.mode === 'manual') throw new NoReply('Only auto-attachable devices can be assigned.');
  const assignment = { ...wish.ref, mode: wish.mode, options: wish.options, frontend: wish.frontend };
  list.push(assignment);
  const args = { device: shown, options: dict(wish.options) };
  try {
    host.announce(qube, `device-pre-assign:${devclass}`, args);
  } catch (error) {
    list.splice(list.indexOf(assignment), 1);
    throw error;
  }
  host.fire(qube, `device-assign:${devclass}`, args);
}

export function unassign(host: Host, qube: Qube, devclass: DeviceClass, ref: DeviceRef): void {
  const list = listOf(qube.devices.assigned, devclass);
  const at = list.findIndex((each) => nameOf(each) === nameOf(ref));
  if (at < 0) {
    throw errors.device(
      'DeviceNotAssigned',
      `${devclass} device ${nameOf(ref)} not assigned to ${qube.name}`,
    );
  }
  list.splice(at, 1);
  host.fire(qube, `device-unassign:${devclass}`, { device: nameOf(ref) });
}

export function reassign(host: Host, qube: Qube, devclass: DeviceClass, ref: DeviceRef, mode: Mode): void {
  const list = listOf(qube.devices.assigned, devclass);
  const at = list.findIndex((each) => nameOf(each) === nameOf(ref));
  const old = list[at];
  if (old === undefined) throw errors.value(`Device ${nameOf(ref)} not assigned to ${qube.name}`);
  if (old.mode === mode) return;
  host.announce(qube, `device-pre-assign:${devclass}`, { device: nameOf(ref), options: dict(old.options) });
  list[at] = { ...old, mode };
  host.fire(qube, `device-assignment-changed:${devclass}`, { device: nameOf(ref) });
}

export function matches(assignment: Assignment, device: Device): boolean {
  return (
    assignment.backend === device.backend.name &&
    (assignment.port === '*' || assignment.port === device.port) &&
    (assignment.id === '*' || assignment.id === device.id)
  );
}

/** A device is plugged in. Announced in the order the backend's list changes: sub-devices first. */
export function plug(host: Host, device: Device): void {
  listOf(device.backend.devices.exposed, device.devclass).push(device);
  host.fire(device.backend, `device-list-change:${device.devclass}`);
  host.fire(device.backend, `device-added:${device.devclass}`, { device: nameOf(refOf(device)) });
  if (device.devclass === 'block') qdbChanged(host, device.backend);
}

/** Several at once, as a disk with its partitions comes. */
export function plugAll(host: Host, devices: readonly Device[]): void {
  const first = devices[0];
  if (first === undefined) return;
  for (const device of devices) listOf(device.backend.devices.exposed, device.devclass).push(device);
  host.fire(first.backend, `device-list-change:${first.devclass}`);
  for (const device of [...devices].sort((a, b) => (nameOf(refOf(a)) < nameOf(refOf(b)) ? -1 : 1))) {
    host.fire(device.backend, `device-added:${device.devclass}`, { device: nameOf(refOf(device)) });
  }
  if (first.devclass === 'block') qdbChanged(host, first.backend);
}

export function unplug(host: Host, device: Device): void {
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

function qdbChanged(host: Host, backend: Qube): void {
  const path = '/qubes-block-devices';
  host.fire(backend, `domain-qdb-change:${path}`, { path });
}

/** The device is gone from under a qube; nobody asks it. */
function drop(host: Host, holder: Qube, device: Device): void {
  const list = listOf(holder.devices.attached, device.devclass);
  list.splice(
    list.findIndex((each) => each.device === device),
    1,
  );
  host.fire(holder, `device-detach:${device.devclass}`, { port: `${device.backend.name}:${device.port}` });
}

/** A domain that ended has no devices, and what it exposed is gone. */
export function releaseDevices(host: Host, qube: Qube): void {
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

/** Assigned devices that are there are attached when their qube has started. */
export function attachAssigned(host: Host, qube: Qube): void {
  for (const [devclass, list] of qube.devices.assigned) {
    for (const assignment of list) {
      if (assignment.mode === 'ask-to-attach') continue;
      for (const device of devicesOf(host, devclass, assignment)) {
        if (holderOf(host, device) !== undefined) continue;
        const options = prepareAttachment(host, qube, device, assignment.options);
        listOf(qube.devices.attached, devclass).push({ device, options });
        host.fire(qube, `device-attach:${devclass}`, {
          device: nameOf(refOf(device)),
          options: dict(options),
        });
      }
    }
  }
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

export function dict(options: ReadonlyMap<string, string>): string {
  return `{${[...options].map(([key, value]) => `${repr(key)}: ${repr(value)}`).join(', ')}}`;
}
