import { findFeature } from './features.js';
import { powerState } from './power.js';
import type { PropertyValue, Qube } from './qube.js';
import type { HostState } from './state.js';

/** A qube for the other parts of the simulation. Every read returns the current value. */
export interface QubeView {
  readonly name: string;
  readonly class: string;
  readonly uuid: string;
  readonly state: string;
  readonly template: string | null;
  readonly netvm: string | null;
  readonly default_user: string;
  readonly tags: ReadonlySet<string>;
  readonly features: ReadonlyMap<string, string>;
  /** In the Admin API's line format. */
  readonly firewall: readonly string[];
  property(name: string): PropertyValue;
  /** A feature of the qube, or else of its template. */
  inherited(feature: string): string | undefined;
}

export function viewOf(host: HostState, qube: Qube): QubeView {
  const name = (property: 'template' | 'netvm') => host.related(qube, property)?.name ?? null;
  return {
    name: qube.name,
    class: qube.class,
    uuid: qube.uuid,
    get state() {
      return powerState(host, qube);
    },
    get template() {
      return name('template');
    },
    get netvm() {
      return name('netvm');
    },
    get default_user() {
      return String(host.property(qube, 'default_user') ?? 'user');
    },
    tags: qube.tags,
    features: qube.features,
    get firewall() {
      return qube.firewall;
    },
    property: (property) => host.property(qube, property),
    inherited: (feature) => findFeature(host, qube, feature, 'template'),
  };
}
