import { errors } from './errors.js';
import type { Qube } from './qube.js';
import type { HostState } from './state.js';

export function setFeature(host: HostState, qube: Qube, feature: string, value: string): void {
  const old = qube.features.get(feature);
  const args = old === undefined ? { feature, value } : { feature, value, oldvalue: old };
  host.announce(qube, `domain-feature-pre-set:${feature}`, args);
  qube.features.set(feature, value);
  host.fire(qube, `domain-feature-set:${feature}`, args);
}

/** The announcement is sent even when there is nothing to remove. */
export function removeFeature(host: HostState, qube: Qube, feature: string): void {
  host.fire(qube, `domain-feature-pre-delete:${feature}`, { feature });
  if (!qube.features.delete(feature)) throw errors.noFeature(feature, qube.name);
  host.fire(qube, `domain-feature-delete:${feature}`, { feature });
}

/** Looks along a chain of qubes: the qube, its template or netvm, theirs, and so on; then dom0, if requested. */
export function findFeature(
  host: HostState,
  qube: Qube,
  feature: string,
  along: 'template' | 'netvm' | null,
  dom0 = false,
): string | undefined {
  const seen = new Set<Qube>();
  for (let at: Qube | undefined = qube; at !== undefined && !seen.has(at); ) {
    seen.add(at);
    const value = at.features.get(feature);
    if (value !== undefined) return value;
    at = along === null ? undefined : (host.related(at, along) ?? undefined);
  }
  return dom0 ? host.dom0.features.get(feature) : undefined;
}
