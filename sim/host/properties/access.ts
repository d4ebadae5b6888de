import type { Api } from '../api.js';
import { errors, NoReply, repr } from '../errors.js';
import type { EventArgs } from '../events.js';
import { validateName } from '../names.js';
import type { PropertyValue, Qube, QubeClass } from '../qube.js';
import type { HostState } from '../state.js';
import type { Property, PropertyType } from './definition.js';
import { GLOBAL_PROPERTIES } from './global.js';
import { VM_PROPERTIES } from './vm.js';

// Reads, sets and resets the properties of qubes and of the host.

type Holder = Qube | null;
// A table holds rows for one kind of holder; once a row was found for a holder, their types match.
type Any = Property<Holder>;

const tables = new Map<string, ReadonlyMap<string, Any>>();

/** The properties of a class (`global` for the host) in a release, in the order they are listed. */
export function propertiesOf(api: Api, qubeClass: QubeClass | 'global'): ReadonlyMap<string, Any> {
  const key = `${api} ${qubeClass}`;
  let table = tables.get(key);
  if (table === undefined) {
    const rows =
      qubeClass === 'global'
        ? (GLOBAL_PROPERTIES as readonly Any[])
        : (VM_PROPERTIES.filter((row) =>
            row.classes.includes(qubeClass),
          ) as readonly unknown[] as readonly Any[]);
    const order = (row: Any) => `${row.late ? 1 : 0}${row.name}`;
    table = new Map(
      rows
        .filter((row) => row.since <= api)
        .sort((a, b) => (order(a) < order(b) ? -1 : 1))
        .map((row) => [row.name, row]),
    );
    tables.set(key, table);
  }
  return table;
}

function rowsFor(host: HostState, holder: Holder): ReadonlyMap<string, Any> {
  return propertiesOf(host.api, holder === null ? 'global' : holder.class);
}

export function listProperties(host: HostState, holder: Holder): Any[] {
  return [...rowsFor(host, holder).values()];
}

export function definition(host: HostState, holder: Holder, name: string): Any {
  const row = rowsFor(host, holder).get(name);
  if (row === undefined) throw errors.noProperty(name, holder === null ? 'Qubes' : holder.name);
  return row;
}

function values(host: HostState, holder: Holder): Map<string, PropertyValue> {
  return holder === null ? host.globals : holder.set;
}

/** The value, or undefined for a property that the holder does not have, or that is unset without a default. */
export function read(host: HostState, holder: Holder, name: string): PropertyValue | undefined {
  const own = values(host, holder).get(name);
  if (own !== undefined) return own;
  return rowsFor(host, holder).get(name)?.default?.(host, holder);
}

export function isDefault(host: HostState, holder: Holder, name: string): boolean {
  return !values(host, holder).has(name);
}

/** Parses a caller's value and sets it. */
export function setProperty(
  host: HostState,
  holder: Holder,
  name: string,
  untrusted_payload: Uint8Array,
): void {
  const row = definition(host, holder, name);
  assign(host, holder, row.name, parse(host, row, untrusted_payload));
}

/** Sets a value of the property's own type, with its checks, its events and their reactions. */
export function assign(host: HostState, holder: Holder, name: string, requested: PropertyValue): void {
  const row = definition(host, holder, name);
  if (row.type === 'vm') checkQube(host, holder, row, requested);
  if (row.access === 'write-once' && values(host, holder).has(name)) {
    throw new NoReply(`property ${repr(name)} is write-once and already set`);
  }
  const old = read(host, holder, name);
  if (row.access === 'forbidden') {
    const on = holder === null ? 'Qubes' : holder.class;
    throw errors.propertyValue(`property ${repr(name)} on ${on} instance cannot be set`);
  }
  const value =
    row.check === undefined || (row.type === 'vm' && requested === null)
      ? requested
      : row.check(host, holder, requested, row);
  const args: EventArgs =
    old === undefined ? { name, newvalue: value } : { name, newvalue: value, oldvalue: old };
  host.announce(holder, `property-pre-set:${name}`, args);
  values(host, holder).set(name, value);
  host.fire(holder, `property-set:${name}`, args);
}

export function resetProperty(host: HostState, holder: Holder, name: string): void {
  const row = definition(host, holder, name);
  if (row.access === 'write-once' && values(host, holder).has(name)) {
    throw new NoReply(`property ${repr(name)} is write-once and already set`);
  }
  const old = read(host, holder, name);
  const args: EventArgs = old === undefined ? { name } : { name, oldvalue: old };
  host.announce(holder, `property-pre-reset:${name}`, args);
  host.announce(holder, `property-pre-del:${name}`, args);
  values(host, holder).delete(name);
  host.fire(holder, `property-reset:${name}`, args);
  host.fire(holder, `property-del:${name}`, args);
}

function checkQube(host: HostState, holder: Holder, row: Any, name: PropertyValue): void {
  if (name === null) {
    if (row.noneable) return;
    throw errors.propertyValue(
      `Invalid value None for property ${repr(row.name)} of ${holder === null ? '<Qubes>' : describe(host, holder)}`,
    );
  }
  const qube = host.find(String(name));
  if (qube === undefined) {
    throw errors.propertyValue(`Can't set ${row.name} to non-existing qube ${name}`);
  }
  if (row.target !== undefined && qube.class !== row.target) {
    throw wrongClass(qube, row.target, repr(qube.name));
  }
  if (row.target === undefined && qube.class === 'RemoteVM') {
    throw wrongClass(qube, 'LocalVM', repr(qube.name));
  }
}

function wrongClass(qube: Qube, wanted: string, shown: string) {
  return errors.propertyValue(`wrong VM class: domains[${shown}] is of type ${qube.class} and not ${wanted}`);
}

/** A qube as the daemon's exceptions describe it: all of its properties, at some address. */
export function describe(host: HostState, qube: Qube): string {
  const parts: string[] = [];
  for (const { name } of listProperties(host, qube)) {
    if (name === 'name' || name === 'qid') continue;
    const value = read(host, qube, name);
    if (value === undefined) continue;
    parts.push(
      `${name}=${value === null ? 'None' : value === true ? 'True' : value === false ? 'False' : value}`,
    );
  }
  return `<${qube.class} at 0x7f0000000000 name=${repr(qube.name)} qid=${qube.qid} ${parts.join(' ')}>`;
}

const PYTHON_TYPE: Partial<Record<PropertyType, string>> = {
  int: 'int',
  uuid: 'UUID',
  ip: 'IPv4Address',
  ip6: 'IPv6Address',
};

const SHAPE: Partial<Record<PropertyType, RegExp>> = {
  int: /^\s*[+-]?\d+(_\d+)*\s*$/,
  uuid: /^(urn:)?(uuid:)?\{?[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?$/,
  ip: /^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.|$)){4}$/,
  ip6: /^(?=.*:.*:)[0-9a-fA-F:]+(%\w+)?$/,
};

function parse(host: HostState, row: Any, untrusted_payload: Uint8Array): PropertyValue {
  if (untrusted_payload.some((byte) => byte > 127)) {
    throw errors.value(row.type === 'vm' ? '' : 'Non-ASCII bytes in property value');
  }
  const text = Buffer.from(untrusted_payload).toString('latin1');
  switch (row.type) {
    case 'bool':
      return parseBool(text);
    case 'vm':
      if (text === '') return null;
      validateName(text, host.api);
      return text;
    case 'str':
    case 'label':
      if (!/^[\x20-\x7e\t\n\r\x0b\x0c]*$/.test(text))
        throw errors.value('Invalid characters in property value');
      return text;
    default:
      if (!SHAPE[row.type]?.test(text)) {
        throw errors.value(`Failed to parse property value as ${PYTHON_TYPE[row.type]}`);
      }
      return row.type === 'int' ? Number(text.trim().replaceAll('_', '')) : text;
  }
}

export function parseBool(text: string): boolean {
  const word = text.toLowerCase();
  if (['0', 'no', 'false', 'off'].includes(word)) return false;
  if (['1', 'yes', 'true', 'on'].includes(word)) return true;
  throw errors.value(`Invalid literal for boolean property: ${repr(text)}`);
}
