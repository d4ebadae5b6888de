import { parseInterfaces } from '../denied.js';
import { errors, NoReply, repr } from '../errors.js';
import { LETTERS } from '../names.js';
import type { PropertyValue, Qube } from '../qube.js';
import type { HostState } from '../state.js';
import type { Property } from './definition.js';

// The checks on values, with the daemon's messages.

type Check = (host: HostState, holder: Qube, value: PropertyValue, property: Property) => PropertyValue;

export const positive: Check = (_host, _holder, value, property) => {
  if (Number(value) <= 0) throw errors.propertyValue(`${property.name} must be positive`);
  return value;
};

export const notNegative: Check = (_host, _holder, value, property) => {
  if (Number(value) < 0) throw errors.propertyValue(`${property.name} must be positive or zero`);
  return value;
};

export const mac: Check = (_host, _holder, value) => {
  const text = String(value).toLowerCase();
  if (!/^([0-9a-f][0-9a-f]:){5}[0-9a-f][0-9a-f]$/.test(text)) throw errors.value('Invalid MAC address value');
  return text;
};

export const user: Check = (_host, _holder, value) => {
  if (!/^[A-Za-z0-9_+,.-]*$/.test(String(value))) {
    throw errors.propertyValue(`Username can contain only those characters: ${LETTERS}0123456789_-+,.`);
  }
  return value;
};

export const kernelName: Check = (_host, _holder, value) => {
  if (String(value).includes('/')) throw errors.propertyValue("Kernel name cannot contain '/'");
  return value;
};

export const kernelOptions: Check = (_host, _holder, value) => {
  if (String(value).length > 512) throw errors.propertyValue('Kernelopts value too long (512 chars max)');
  return value;
};

export const virtMode: Check = (_host, qube, value) => {
  const mode = String(value).toLowerCase();
  if (!['hvm', 'pv', 'pvh'].includes(mode)) {
    throw errors.propertyValue('Invalid virtualization mode, supported values: hvm, pv, pvh');
  }
  if (mode === 'pvh' && (qube.devices.assigned.get('pci')?.length ?? 0) > 0) {
    throw errors.propertyValue("pvh mode can't be set if pci devices are assigned");
  }
  return mode;
};

export const keyboardLayout: Check = (_host, _holder, value) => {
  const parts = String(value).split('+');
  if (parts.length !== 3) throw errors.propertyValue('invalid number of keyboard layout parameters');
  const [layout = '', variant = '', options = ''] = parts;
  if (!/^[A-Za-z]+$/.test(layout)) throw errors.propertyValue('Invalid keyboard layout provided');
  if (!/^[a-zA-Z0-9-_]*$/.test(variant)) throw errors.propertyValue('Invalid layout variant provided');
  if (!/^[a-zA-Z0-9-_:,]*$/.test(options)) throw errors.propertyValue('Invalid layout options provided');
  return value;
};

/** Sorted, distinct interface codes (a class letter or `*`, then hexadecimal digits or `*`). */
export const deniedList: Check = (_host, _holder, value) => {
  const codes = [...new Set(parseInterfaces(String(value)))].sort();
  if (codes.some((code) => !/^[bump*][0-9a-f*]{6}$/.test(code))) {
    throw errors.propertyValue(
      'Interface code list should be in the form chhhhhhchhhhhh...,where c is one of "b", "u", "m", "p", "*" and h is a hexdigit or "*".',
    );
  }
  return codes.join('');
};

export const label: Check = (host, _holder, value) => {
  const name = String(value);
  const found = host.labels.find((each) => each.name === name || String(each.index) === name);
  if (found !== undefined) return found.name;
  throw errors.noLabel(name);
};

/** A netvm must provide network, and must not get it from this qube, directly or not. */
export const netvm: Check = (host, qube, value) => {
  const name = value as string;
  const provides = host.propertyOrUndefined(host.domain(name), 'provides_network');
  if (provides === undefined) throw new NoReply(`${name} has no such property`);
  if (provides !== true) {
    throw errors.value(`The ${name} qube does not provide network`);
  }
  for (let at: string | null = name, hops = 0; at !== null && hops < 10000; hops++) {
    if (at === qube.name) throw errors.value('Loops in network are unsupported');
    at = host.related(host.domain(at), 'netvm')?.name ?? null;
  }
  return value;
};

export const providesNetwork: Check = (host, qube, value) => {
  if (value === false && host.connectedTo(qube).length > 0) {
    throw errors.value("The qube is still used by other qubes, change theirs 'netvm' first");
  }
  return value;
};

export const disposableTemplate = <H extends Qube | null>(
  host: HostState,
  holder: H,
  value: PropertyValue,
  property: Property<H>,
): PropertyValue => {
  const template = host.domain(value as string);
  if (host.since('4.4') && host.property(template, 'template_for_dispvms') !== true) {
    const target = holder === null ? 'system' : `qube ${repr(holder.name)}`;
    throw errors.propertyValue(
      `Cannot set invalid property to ${target}, ${property.name} ${repr(template.name)} has template_for_dispvms set to False`,
    );
  }
  return value;
};

export const dispvmTemplate: Check = (host, qube, value) => {
  if (qube.class !== 'DispVM') return value;
  if (host.property(host.domain(value as string), 'template_for_dispvms') !== true) {
    throw errors.propertyValue('template for disposable must have template_for_dispvms=True');
  }
  return value;
};
