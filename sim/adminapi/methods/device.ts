import { assign, reassign, unassign } from '../../host/assign.js';
import { attach, detach, enforceDenied } from '../../host/attach.js';
import { parseInterfaces } from '../../host/denied.js';
import { parseRef, parseWish } from '../../host/device-arguments.js';
import * as devices from '../../host/devices.js';
import { ApiError, errors } from '../../host/errors.js';
import * as old from '../../host/persistent.js';
import { assign as assignProperty, parseBool } from '../../host/properties/access.js';
import type { Device, DeviceClass, DeviceRef } from '../../host/qube.js';
import type { HostState } from '../../host/state.js';
import { type Call, deviceClassOf, isAscii, lines, type Method, method, textOf } from '../method.js';

const each = { endpoints: 'devices' } as const;
const one = { ...each, arg: true } as const;

function enforceDevices({ dest }: Call): void {
  if (dest.class === 'RemoteVM') throw errors.exception("This qube doesn't support devices");
}

export const DEVICE_METHODS: readonly Method[] = [
  method('admin.vm.device.{}.Available', { ...each, arg: null }, (call) => {
    const { host, dest, argument } = call;
    const found = devices
      .exposed(host, dest, deviceClassOf(call))
      .filter((device) => argument === '' || device.port === argument);
    return sortedLines(
      found.map((device) => (host.since('4.3') ? available(host, device) : available42(device))),
    );
  }),
  method('admin.vm.device.{}.Attached', { ...each, arg: null, since: '4.3' }, (call) => {
    const devclass = deviceClassOf(call);
    const { dest } = call;
    return sortedLines(
      (dest.devices.attached.get(devclass) ?? [])
        .filter(({ device }) => selected(call, device.backend.name, device.port))
        .map(({ device, options }) => {
          const assignment = (dest.devices.assigned.get(devclass) ?? []).find(
            (given) =>
              given.id === device.id && given.port === device.port && given.backend === device.backend.name,
          );
          return assigned(
            { backend: device.backend.name, port: device.port, id: device.id },
            devclass,
            assignment?.mode ?? 'manual',
            assignment?.options ?? options,
            assignment === undefined ? dest.name : assignment.frontend,
          );
        }),
    );
  }),
  method('admin.vm.device.{}.Assigned', { ...each, arg: null, since: '4.3' }, (call) => {
    const devclass = deviceClassOf(call);
    return sortedLines(
      (call.dest.devices.assigned.get(devclass) ?? [])
        .filter((given) => selected(call, given.backend, given.port))
        .map((given) => assigned(given, devclass, given.mode, given.options, given.frontend)),
    );
  }),
  method('admin.vm.device.{}.List', { ...each, arg: null, until: '4.2' }, ({ dest, ...call }) =>
    sortedLines(
      old
        .listDevices(dest, call.endpoint as DeviceClass)
        .filter((line) => call.argument === '' || line.startsWith(`${call.argument} `)),
    ),
  ),
  method('admin.vm.device.{}.Attach', { ...one, payload: null }, (call) => {
    const { host, dest, argument, payload } = call;
    const devclass = deviceClassOf(call);
    if (!host.since('4.3')) {
      const { options, persistent } = parseOptions(payload);
      old.attachDevice(host, dest, devclass, old.parseIdent(host, argument), options, persistent);
      return undefined;
    }
    const wish = parseWish(host, parseRef(host, argument), devclass, payload);
    enforceDenied(host, dest, devclass, wish);
    enforceDevices(call);
    attach(host, dest, devclass, wish);
    return undefined;
  }),
  method('admin.vm.device.{}.Detach', one, (call) => {
    const { host, dest, argument } = call;
    enforceDevices(call);
    if (host.since('4.3')) detach(host, dest, deviceClassOf(call), parseRef(host, argument));
    else old.detachDevice(host, dest, deviceClassOf(call), old.parseIdent(host, argument));
    return undefined;
  }),
  method('admin.vm.device.{}.Set.persistent', { ...one, payload: true, until: '4.2' }, (call) => {
    const value = textOf(call.payload);
    if (value !== 'True' && value !== 'False') throw errors.protocol('neither True nor False');
    const ident = old.parseIdent(call.host, call.argument);
    old.setPersistent(call.dest, deviceClassOf(call), ident, value === 'True');
    return undefined;
  }),
  method('admin.vm.device.{}.Assign', { ...one, payload: true, since: '4.3' }, (call) => {
    const { host, dest, argument, payload } = call;
    const devclass = deviceClassOf(call);
    const wish = parseWish(host, parseRef(host, argument), devclass, payload);
    enforceDevices(call);
    assign(host, dest, devclass, wish);
    return undefined;
  }),
  method('admin.vm.device.{}.Unassign', { ...one, since: '4.3' }, (call) => {
    enforceDevices(call);
    unassign(call.host, call.dest, deviceClassOf(call), parseRef(call.host, call.argument));
    return undefined;
  }),
  method('admin.vm.device.{}.Set.assignment', { ...one, payload: true, since: '4.3' }, (call) => {
    const mode = textOf(call.payload);
    if (mode !== 'required' && mode !== 'ask-to-attach' && mode !== 'auto-attach') {
      throw new ApiError('QubesUnrecognizedDeviceAssignmentMode', 'Invalid assignment mode');
    }
    const ref = parseRef(call.host, call.argument);
    reassign(call.host, call.dest, deviceClassOf(call), ref, mode);
    return undefined;
  }),
  method('admin.vm.device.denied.List', { since: '4.3' }, (call) => denied(call).join('\n')),
  method('admin.vm.device.denied.Add', { payload: null, since: '4.3' }, (call) => {
    const added = interfacesOf(call.payload);
    setDenied(call, [...denied(call), ...added]);
    return undefined;
  }),
  method('admin.vm.device.denied.Remove', { payload: null, since: '4.3' }, (call) => {
    const before = denied(call);
    const removed = textOf(call.payload) === 'all' ? before : interfacesOf(call.payload);
    const left = before.filter((code) => !removed.includes(code));
    if (left.length !== before.length) setDenied(call, left);
    return undefined;
  }),
];

function denied({ host, dest }: Call): string[] {
  return parseInterfaces(String(host.property(dest, 'devices_denied') ?? ''));
}

function setDenied({ host, dest }: Call, codes: readonly string[]): void {
  assignProperty(host, dest, 'devices_denied', codes.join(''));
}

function interfacesOf(untrusted_payload: Uint8Array): string[] {
  if (!isAscii(untrusted_payload)) throw errors.protocol('Device interface contains non-ASCII characters');
  const codes = parseInterfaces(textOf(untrusted_payload));
  if (new Set(codes).size !== codes.length) throw errors.protocol('Duplicated device interfaces in payload.');
  return codes;
}

function selected({ argument }: Call, backend: string, port: string): boolean {
  return argument === '' || argument === `${backend}+${port}`;
}

/** Sorted by the beginning of the line, like the daemon's dictionaries. */
function sortedLines(items: readonly string[]): string {
  const key = (line: string) => line.slice(0, line.indexOf(' '));
  return lines([...items].sort((a, b) => (key(a) < key(b) ? -1 : 1)));
}

const packed = (key: string, value: string): string =>
  `${key}='${value.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function available(host: HostState, device: Device): string {
  const holder = devices.holderOf(host, device);
  return [
    `${device.port}:${device.id}`,
    packed('device_id', device.id),
    packed('port_id', device.port),
    packed('devclass', device.devclass),
    packed('backend_domain', device.backend.name),
    ...[...device.labels].map(([key, value]) => packed(key, value)),
    ...(holder === undefined ? [] : [packed('attachment', holder.name)]),
    packed('interfaces', device.interfaces),
    ...(device.parent === null
      ? []
      : [packed('parent_port_id', device.parent), packed('parent_devclass', device.devclass)]),
  ].join(' ');
}

/** 4.2: `IDENT key=value … description=…`; spaces survive only in the description. */
function available42(device: Device): string {
  const label = (key: string) => device.labels.get(key);
  const name = label('name');
  const description = `${(label('serial') ?? label('product') ?? label('manufacturer') ?? device.port).replaceAll(' ', '_')}${name === undefined ? '' : ` (${name})`}`;
  return [
    device.port,
    ...(device.devclass === 'block'
      ? [`mode=${device.mode}`, `device_node=/dev/${device.port}`, `size=${device.size}`]
      : []),
    `description=${description}`,
  ].join(' ');
}

function assigned(
  ref: DeviceRef,
  devclass: string,
  mode: string,
  options: ReadonlyMap<string, string>,
  frontend: string | null,
): string {
  return [
    `${ref.backend}+${ref.port}:${ref.id}`,
    packed('device_id', ref.id),
    packed('port_id', ref.port),
    packed('devclass', devclass),
    packed('backend_domain', ref.backend),
    packed('mode', mode),
    ...(frontend === null ? [] : [packed('frontend_domain', frontend)]),
    ...[...options].map(([key, value]) => packed(`_${key}`, value)),
  ].join(' ');
}

/** 4.2: `option=value` pairs; `persistent` is one of them. */
function parseOptions(untrusted_payload: Uint8Array): { options: Map<string, string>; persistent: boolean } {
  const options = new Map<string, string>();
  let persistent = false;
  for (const pair of textOf(untrusted_payload)
    .split(/\s+/)
    .filter((text) => text !== '')) {
    const equals = pair.indexOf('=');
    const [key, value] = [pair.slice(0, equals), pair.slice(equals + 1)];
    if (equals < 0 || !/^[A-Za-z0-9._-]+$/.test(key) || !/^[A-Za-z0-9._,+:-]*$/.test(value)) {
      throw errors.protocol(`Invalid option ${pair}`);
    }
    if (key === 'persistent') persistent = parseBool(value);
    else options.set(key, value);
  }
  return { options, persistent };
}
