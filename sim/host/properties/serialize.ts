import type { PropertyValue, Qube } from '../qube.js';
import type { HostState } from '../state.js';
import { definition, isDefault, read } from './access.js';
import type { Property } from './definition.js';

/** A value in a reply: none is nothing at all. */
export function displayValue(value: PropertyValue): string {
  if (value === null) return '';
  if (value === true) return 'True';
  if (value === false) return 'False';
  return String(value);
}

/** The word for a property's type. What 4.2 computes, and cannot be set, it calls a string. */
export function typeWord(host: HostState, row: Property<Qube | null>): string {
  if (row.type === 'uuid' || row.type === 'ip' || row.type === 'ip6') return 'str';
  if (!host.since('4.3') && row.computed === true) return 'str';
  return row.type;
}

export function serialize(host: HostState, holder: Qube | null, name: string): string {
  const row = definition(host, holder, name);
  const value = read(host, holder, name);
  const isUnset = isDefault(host, holder, name) ? 'True' : 'False';
  return `default=${value === undefined ? 'True' : isUnset} type=${typeWord(host, row)} ${value === undefined ? '' : displayValue(value)}`;
}
