import { findFeature } from '../features.js';
import type { PropertyValue, Qube } from '../qube.js';
import type { HostState } from '../state.js';

export function isNetworked(host: HostState, qube: Qube): boolean {
  return host.property(qube, 'provides_network') === true || host.property(qube, 'netvm') !== null;
}

/** Addresses follow from the qube's number; disposables have their own range. */
export function ipv4(host: HostState, qube: Qube): PropertyValue {
  if (!isNetworked(host, qube)) return null;
  const disposable = qube.class === 'DispVM';
  const id = disposable ? Number(host.property(qube, 'dispid')) : qube.qid;
  const prefix = disposable ? '10.138' : '10.137';
  if (id < 255) return `${prefix}.0.${id}`;
  // No address of a block ends in 0 or 255.
  return `${prefix}.${Math.floor((id - 1) / 254)}.${((id - 1) % 254) + 1}`;
}

export function ipv6(host: HostState, qube: Qube): PropertyValue {
  if (!isNetworked(host, qube) || !findFeature(host, qube, 'ipv6', 'netvm')) return null;
  return qube.class === 'DispVM'
    ? `fd09:24ef:4179::a8a:${Number(host.property(qube, 'dispid')).toString(16)}`
    : `fd09:24ef:4179::a89:${qube.qid.toString(16)}`;
}
