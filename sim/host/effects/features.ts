import { errors } from '../errors.js';
import type { Events } from '../events.js';
import { removeFeature } from '../features.js';
import { assign, resetProperty } from '../properties/access.js';
import type { HostState } from '../state.js';

/** Features that stand for something inside the qube must be valid names there. */
export function featureEffects(events: Events<HostState>): void {
  events.react('domain-feature-pre-set:service.*', (_host, _qube, { feature }) => {
    const service = String(feature).slice('service.'.length);
    if (service === '') throw errors.value('Service name cannot be empty');
    if (service.includes('/')) throw errors.value('Service name cannot contain a slash');
    if (service === '.' || service === '..') throw errors.value('Service name cannot be "." or ".."');
    if (service.length > 48 && !service.startsWith('app-dispvm.')) {
      throw errors.value('Service name must not exceed 48 bytes');
    }
  });
  // Checked afterwards: an invalid name stays set, and the caller gets an error.
  events.react('domain-feature-set:vm-config.*', (_host, _qube, { feature }) => {
    const config = String(feature).slice('vm-config.'.length);
    if (config.length > 46) throw errors.value('VM config name must not exceed 46 bytes');
    if (config === '') throw errors.value('Empty config name not allowed');
    if (!/^[A-Za-z]/.test(config)) throw errors.value('Config name must start with an ASCII letter');
  });
  events.react('domain-feature-set:service.meminfo-writer', (host, qube, { value }) => {
    if (qube === null || host.propertyOrUndefined(qube, 'maxmem') === undefined) return;
    if (value) resetProperty(host, qube, 'maxmem');
    else assign(host, qube, 'maxmem', 0);
    removeFeature(host, qube, 'service.meminfo-writer');
  });
}
