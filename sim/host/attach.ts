import { covers, parseInterfaces } from './denied.js';
import type { DeviceArguments } from './device-arguments.js';
import { dict, findDevice, holderOf, listOf, matches, nameOf, refOf } from './devices.js';
import { ApiError, errors, NoReply } from './errors.js';
import { parseBool } from './properties/access.js';
import type { Device, DeviceClass, DeviceRef, Qube } from './qube.js';
import type { HostState } from './state.js';

/** May throw before any look-up: a caller who uses a denied class of device learns only that. */
export function enforceDenied(
  host: HostState,
  qube: Qube,
  devclass: DeviceClass,
  wish: DeviceArguments,
): void {
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

export function attach(host: HostState, qube: Qube, devclass: DeviceClass, wish: DeviceArguments): void {
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

/** Lets the extension of the device class rewrite the options, or throws its reason. */
export function prepareAttachment(
  host: HostState,
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

export function detach(host: HostState, qube: Qube, devclass: DeviceClass, ref: DeviceRef): void {
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
