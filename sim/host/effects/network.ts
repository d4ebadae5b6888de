import { ApiError, errors } from '../errors.js';
import type { EventArgs, Events } from '../events.js';
import { removeFeature, setFeature } from '../features.js';
import { read } from '../properties/access.js';
import type { Qube } from '../qube.js';
import type { HostState } from '../state.js';

/** A qube's netvm: it must run, and others are told when it or an address changes. */
export function networkEffects(events: Events<HostState>): void {
  events.react('property-pre-set:netvm', (host, qube, { newvalue, oldvalue = null }) => {
    if (qube === null) return;
    if (typeof newvalue === 'string' && qube.running && host.domain(newvalue).halted) {
      throw new ApiError('QubesVMNotStartedError', `Cannot dynamically attach to stopped qube ${newvalue}`);
    }
    // A paused qube changes its network when it resumes; until then the old one is stored.
    if (host.since('4.3') && qube.power === 'Paused' && !qube.features.has(DEFERRED)) {
      setFeature(host, qube, DEFERRED, typeof oldvalue === 'string' ? oldvalue : '');
    }
  });
  events.react('property-set:netvm', (host, qube, { newvalue }) => {
    if (qube === null || typeof newvalue !== 'string' || !qube.running) return;
    host.fire(qube, 'domain-qdb-create');
    host.fire(host.domain(newvalue), 'net-domain-connect', { vm: qube.name });
  });
  for (const change of ['domain-unpaused', 'domain-shutdown']) {
    events.react(change, (host, qube) => {
      if (qube?.features.has(DEFERRED)) host.follow(async () => reconnect(host, qube));
    });
  }
  events.react('property-pre-reset:netvm', (host, qube, { oldvalue = null }) => {
    if (qube === null) return;
    const newvalue = host.global('default_netvm');
    if (newvalue === oldvalue) return;
    host.announce(qube, 'property-pre-set:netvm', { name: 'netvm', newvalue, oldvalue });
  });
  events.react('property-reset:netvm', (host, qube, { oldvalue = null }) => {
    if (qube === null) return;
    const newvalue = host.property(qube, 'netvm');
    if (newvalue === oldvalue) return;
    host.fire(qube, 'property-set:netvm', { name: 'netvm', newvalue, oldvalue });
  });
  const inheritors = (args: EventArgs) => ({
    newvalue: args.newvalue ?? null,
    oldvalue: args.oldvalue ?? null,
  });
  events.react('property-pre-set:default_netvm', (host, subject, args) => {
    if (subject !== null) return;
    for (const qube of host.qubes()) {
      if (read(host, qube, 'netvm') === undefined || qube.set.has('netvm')) continue;
      host.announce(qube, 'property-pre-set:netvm', { name: 'netvm', ...inheritors(args) });
    }
  });
  events.react('property-set:default_netvm', (host, subject, args) => {
    if (subject !== null) return;
    for (const qube of host.qubes()) {
      if (read(host, qube, 'netvm') === undefined || qube.set.has('netvm')) continue;
      host.fire(qube, 'property-reset:netvm', { name: 'netvm', oldvalue: inheritors(args).oldvalue });
    }
  });
  for (const [name, suffix] of [
    ['ip', ''],
    ['ip6', '6'],
  ] as const) {
    for (const change of ['set', 'reset'] as const) {
      if (name === 'ip6' && change === 'reset') continue;
      events.react(`property-${change}:${name}`, (host, qube, args) => {
        if (qube === null || (args.newvalue ?? null) === (args.oldvalue ?? null)) return;
        const gateway = `gateway${suffix}`;
        if (host.property(qube, 'provides_network') === true) {
          host.fire(qube, `property-reset:${gateway}`, { name: gateway });
        }
        host.fire(qube, `property-reset:visible_${name}`, { name: `visible_${name}` });
        for (const client of host.connectedTo(qube)) {
          host.fire(client, `property-reset:visible_${gateway}`, { name: `visible_${gateway}` });
        }
      });
    }
  }
  events.react('property-set:provides_network', (host, qube, { newvalue, oldvalue }) => {
    if (qube === null || newvalue === oldvalue) return;
    host.fire(qube, 'property-reset:gateway', { name: 'gateway' });
    host.fire(qube, 'property-reset:gateway6', { name: 'gateway6' });
  });
  events.react('domain-pre-shutdown', (host, qube, { force }) => {
    if (qube === null || force === true || host.property(qube, 'provides_network') !== true) return;
    const running = host
      .connectedTo(qube)
      .filter((client) => client.running && host.property(client, 'is_preload') !== true)
      .map((client) => client.name);
    if (running.length === 0) return;
    const message = `There are other VMs connected to this VM: ${running.join(', ')}`;
    throw host.since('4.3') ? errors.inUse(message) : new ApiError('QubesVMError', message);
  });
}

const DEFERRED = 'deferred-netvm-original';

function reconnect(host: HostState, qube: Qube): void {
  const oldvalue = qube.features.get(DEFERRED) || null;
  const newvalue = host.property(qube, 'netvm');
  if (qube.running && host.property(qube, 'is_preload') !== true) {
    if (typeof newvalue === 'string' && host.domain(newvalue).halted) return;
    host.announce(qube, 'property-pre-set:netvm', { name: 'netvm', newvalue, oldvalue });
    if (newvalue !== null) host.fire(qube, 'property-set:netvm', { name: 'netvm', newvalue, oldvalue });
  }
  if (qube.features.has(DEFERRED)) removeFeature(host, qube, DEFERRED);
}
