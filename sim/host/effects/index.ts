import type { Events } from '../events.js';
import type { HostState } from '../state.js';
import { disposableEffects } from './disposables.js';
import { featureEffects } from './features.js';
import { networkEffects } from './network.js';
import { propertyEffects } from './properties.js';
import { serverEffects } from './servers.js';
import { tagEffects } from './tags.js';

/** The reactions of the host to its own events. */
export function installEffects(events: Events<HostState>): void {
  propertyEffects(events);
  networkEffects(events);
  serverEffects(events);
  tagEffects(events);
  featureEffects(events);
  disposableEffects(events);
}
