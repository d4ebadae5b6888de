import type { PropertyValue, Qube } from '../qube.js';
import type { HostState } from '../state.js';
import { definition, isDefault, read } from './access.js';
import type { Property } from './definition.js';

/** A value in a reply: null is empty. */
export function displayValue(value: PropertyValue): string {
  if (value === null) return '';
  if (value === true) return 'True';
  if (value === false) return 'False';
  return String(value);
}

/** The word for a property's type. 4.2 calls a computed property that cannot be set a string. */
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
