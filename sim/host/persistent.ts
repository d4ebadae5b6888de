import { prepareAttachment } from './attach.js';
import { dict, findDevice, listOf } from './devices.js';
import { ApiError, errors, NoReply } from './errors.js';
import type { DeviceClass, Qube } from './qube.js';
import type { HostState } from './state.js';

// Devices in 4.2: an attachment may be persistent, and is then repeated at the next start. Here, that is an assignment of the
// whole port.

/** A device as a 4.2 caller names it: `BACKEND+IDENT`. */
export interface Ident {
  readonly backend: string;
  readonly ident: string;
}

export function parseIdent(host: HostState, argument: string): Ident {
  const at = argument.indexOf('+');
  const backend = argument.slice(0, at);
  if (at < 0 || host.find(backend) === undefined) throw new NoReply(`no device ${argument}`);
  return { backend, ident: argument.slice(at + 1) };
}

export function isPersistent(qube: Qube, devclass: DeviceClass, { backend, ident }: Ident): boolean {
  return listOf(qube.devices.assigned, devclass).some(
    (given) => given.backend === backend && given.port === ident,
  );
}

function isAttached(qube: Qube, devclass: DeviceClass, { backend, ident }: Ident): boolean {
  return listOf(qube.devices.attached, devclass).some(
    ({ device }) => device.backend.name === backend && device.port === ident,
  );
}

/** `IDENT option=value … persistent=yes|no` for all that is attached or persistent. */
export function listDevices(qube: Qube, devclass: DeviceClass): string[] {
  const lines = new Map<string, string>();
  const add = (backend: string, ident: string, options: ReadonlyMap<string, string>) => {
    const persistent = isPersistent(qube, devclass, { backend, ident }) ? 'yes' : 'no';
    const given = [...options].map(([key, value]) => `${key}=${value} `).join('');
    lines.set(`${backend}+${ident}`, `${backend}+${ident} ${given}persistent=${persistent}`);
  };
  for (const { device, options } of listOf(qube.devices.attached, devclass)) {
    add(device.backend.name, device.port, options);
  }
  for (const given of listOf(qube.devices.assigned, devclass)) add(given.backend, given.port, given.options);
  return [...lines.values()];
}

export function attachDevice(
  host: HostState,
  qube: Qube,
  devclass: DeviceClass,
  ident: Ident,
  given: ReadonlyMap<string, string>,
  persistent: boolean,
): void {
  if (!persistent && qube.halted) {
    throw new ApiError(
      'QubesVMNotRunningError',
      'VM not running, can only attach device with persistent flag',
    );
  }
  const shown = `${ident.backend}:${ident.ident}`;
  if (isAttached(qube, devclass, ident) || isPersistent(qube, devclass, ident)) {
    throw errors.device(
      'DeviceAlreadyAttached',
      `device ${shown} of class ${devclass} already attached to ${qube.name}`,
    );
  }
  const device = findDevice(host, devclass, { backend: ident.backend, port: ident.ident, id: '*' });
  host.announce(qube, `device-pre-attach:${devclass}`, { device: shown, options: dict(given) });
  if (device === undefined && !qube.halted) throw new NoReply(`${shown} is not there`);
  if (persistent) {
    listOf(qube.devices.assigned, devclass).push({
      backend: ident.backend,
      port: ident.ident,
      id: '*',
      mode: 'auto-attach',
      options: given,
      frontend: null,
    });
  }
  const options = device === undefined || qube.halted ? given : prepareAttachment(host, qube, device, given);
  if (device !== undefined && !qube.halted) listOf(qube.devices.attached, devclass).push({ device, options });
  host.fire(qube, `device-attach:${devclass}`, { device: shown, options: dict(options) });
}

export function detachDevice(host: HostState, qube: Qube, devclass: DeviceClass, ident: Ident): void {
  const persistent = isPersistent(qube, devclass, ident);
  if (persistent && !qube.halted) {
    throw errors.notHalted(qube.name, 'Can not remove a persistent attachment from a non halted vm');
  }
  if (!persistent && !isAttached(qube, devclass, ident)) {
    throw errors.device(
      'DeviceNotAttached',
      `device ${ident.ident} of class ${devclass} not attached to ${qube.name}`,
    );
  }
  const args = { device: `${ident.backend}:${ident.ident}` };
  host.announce(qube, `device-pre-detach:${devclass}`, args);
  forget(qube, devclass, ident);
  const attached = listOf(qube.devices.attached, devclass);
  const at = attached.findIndex(
    ({ device }) => device.backend.name === ident.backend && device.port === ident.ident,
  );
  if (at >= 0) attached.splice(at, 1);
  host.fire(qube, `device-detach:${devclass}`, args);
}

function forget(qube: Qube, devclass: DeviceClass, { backend, ident }: Ident): void {
  const assigned = listOf(qube.devices.assigned, devclass);
  const at = assigned.findIndex((given) => given.backend === backend && given.port === ident);
  if (at >= 0) assigned.splice(at, 1);
}

/** Makes an attachment persistent or not. */
export function setPersistent(qube: Qube, devclass: DeviceClass, ident: Ident, persistent: boolean): void {
  if (!isAttached(qube, devclass, ident)) throw errors.protocol('not attached');
  forget(qube, devclass, ident);
  if (!persistent) return;
  listOf(qube.devices.assigned, devclass).push({
    backend: ident.backend,
    port: ident.ident,
    id: '*',
    mode: 'auto-attach',
    options: new Map(),
    frontend: null,
  });
}
