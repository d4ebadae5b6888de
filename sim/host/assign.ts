import { prepareAttachment } from './attach.js';
import type { DeviceArguments } from './device-arguments.js';
import { devicesOf, dict, holderOf, listOf, nameOf, refOf } from './devices.js';
import { errors, NoReply } from './errors.js';
import type { DeviceClass, DeviceRef, Mode, Qube } from './qube.js';
import type { HostState } from './state.js';

export function assign(host: HostState, qube: Qube, devclass: DeviceClass, wish: DeviceArguments): void {
  const list = listOf(qube.devices.assigned, devclass);
  const deviceName = nameOf(wish.ref);
  if (list.some((each) => nameOf(each) === deviceName)) {
    throw errors.device(
      'DeviceAlreadyAssigned',
      `${devclass} device ${deviceName} already assigned to ${qube.name}`,
    );
  }
  if (wish.mode === 'manual') throw new NoReply('Only auto-attachable devices can be assigned.');
  const assignment = { ...wish.ref, mode: wish.mode, options: wish.options, frontend: wish.frontend };
  list.push(assignment);
  const args = { device: deviceName, options: dict(wish.options) };
  try {
    host.announce(qube, `device-pre-assign:${devclass}`, args);
  } catch (error) {
    list.splice(list.indexOf(assignment), 1);
    throw error;
  }
  host.fire(qube, `device-assign:${devclass}`, args);
}

export function unassign(host: HostState, qube: Qube, devclass: DeviceClass, ref: DeviceRef): void {
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

export function reassign(
  host: HostState,
  qube: Qube,
  devclass: DeviceClass,
  ref: DeviceRef,
  mode: Mode,
): void {
  const list = listOf(qube.devices.assigned, devclass);
  const at = list.findIndex((each) => nameOf(each) === nameOf(ref));
  const old = list[at];
  if (old === undefined) throw errors.value(`Device ${nameOf(ref)} not assigned to ${qube.name}`);
  if (old.mode === mode) return;
  host.announce(qube, `device-pre-assign:${devclass}`, { device: nameOf(ref), options: dict(old.options) });
  list[at] = { ...old, mode };
  host.fire(qube, `device-assignment-changed:${devclass}`, { device: nameOf(ref) });
}

/** Attaches assigned devices that exist after their qube has started. */
export function attachAssigned(host: HostState, qube: Qube): void {
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
