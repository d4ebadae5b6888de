import { cleanUp, isGlobal, missingServices, refill, rest, trim, used } from '../disposables.js';
import { errors, repr } from '../errors.js';
import type { Events } from '../events.js';
import { findFeature } from '../features.js';
import { read } from '../properties/access.js';
import type { Qube } from '../qube.js';
import { qubeUses, systemUses } from '../remove.js';
import type { HostState } from '../state.js';

export function disposableEffects(events: Events<HostState>): void {
  lifeEffects(events);
  templateEffects(events);
  preloadEffects(events);
}

function lifeEffects(events: Events<HostState>): void {
  events.react('domain-shutdown', (host, qube) => {
    if (qube?.class === 'DispVM' && host.property(qube, 'auto_cleanup') === true) {
      host.follow(() => cleanUp(host, qube));
    }
  });
  // A disposable that cannot start is removed, whatever its auto_cleanup.
  events.react('domain-start-failed', (host, qube) => {
    if (qube?.class === 'DispVM') host.follow(() => cleanUp(host, qube).catch(() => undefined));
  });
  events.react('domain-start', (host, qube) => {
    if (qube !== null && host.property(qube, 'is_preload') === true) host.follow(() => rest(host, qube));
  });
  events.react('domain-unpaused', (host, qube) => {
    if (qube?.usable && host.property(qube, 'is_preload') === true) host.follow(() => used(host, qube));
  });
}

function templateEffects(events: Events<HostState>): void {
  for (const change of ['set', 'reset'] as const) {
    events.react(`property-${change}:default_dispvm`, (host, subject, { oldvalue = null }) => {
      if (subject !== null) return;
      for (const qube of host.qubes()) {
        if (qube.set.has('default_dispvm') || qube.class === 'DispVM') continue;
        if (read(host, qube, 'default_dispvm') === undefined) continue;
        host.fire(qube, 'property-reset:default_dispvm', { name: 'default_dispvm', oldvalue });
      }
    });
  }
  const guard = (host: HostState, qube: Qube): void => {
    const base = 'Cannot change template_for_dispvms to False while it is';
    if (systemUses(host, qube, ['default_dispvm', 'management_dispvm']).length > 0) {
      throw errors.inUse(
        `${base} in use by the system by any of these properties: default_dispvm, management_dispvm`,
      );
    }
    if (qubeUses(host, qube, ['default_dispvm', 'management_dispvm', 'template']).length > 0) {
      throw errors.inUse(
        `${base} the disposable template of a qube by any of these properties: default_dispvm, management_dispvm, template`,
      );
    }
  };
  for (const change of ['set', 'reset'] as const) {
    events.react(`property-pre-${change}:template_for_dispvms`, (host, qube, { newvalue, oldvalue }) => {
      if (qube !== null && newvalue !== true && oldvalue === true) guard(host, qube);
    });
  }
}

function preloadEffects(events: Events<HostState>): void {
  events.react('domain-feature-pre-set:preload-dispvm-max', (host, qube, { value }) => {
    if (qube === null || qube.class === 'AdminVM') return;
    if (!findFeature(host, qube, 'qrexec', 'template')) throw errors.value('Qube does not support qrexec');
    const missing = missingServices(host, qube);
    if (missing.length > 0) throw errors.value(`Qube does not support the RPC(s) '${missing.join(', ')}'`);
    if (!/^\d+$/.test(String(value || '0'))) {
      throw errors.value('Invalid preload-dispvm-max value: not a digit');
    }
  });
  events.react('domain-feature-set:preload-dispvm-max', (host, qube, { value, oldvalue }) => {
    if (qube === null || value === oldvalue) return;
    if (qube.class === 'AdminVM') {
      const name = host.global('default_dispvm');
      const template = typeof name === 'string' ? host.find(name) : undefined;
      const reason = `global feature was set to ${repr(String(value))}`;
      if (template !== undefined) host.defer(() => refill(host, template, { reason }));
      return;
    }
    if (host.property(qube, 'template_for_dispvms') !== true || isGlobal(host, qube)) return;
    const reason = `local feature was set to ${repr(String(value))}`;
    host.defer(() => refill(host, qube, { reason }));
  });
  events.react('domain-feature-delete:preload-dispvm-max', (host, qube) => {
    if (qube !== null && qube.class !== 'AdminVM' && !isGlobal(host, qube))
      host.defer(() => trim(host, qube, 0));
  });
  events.react('domain-feature-set:preload-dispvm', (host, qube, { value, oldvalue }) => {
    if (qube === null) return;
    const names = (text: unknown) => new Set(String(text ?? '').split(' '));
    const [now, before] = [names(value), names(oldvalue)];
    for (const name of new Set([...now, ...before])) {
      const disposable = now.has(name) && before.has(name) ? undefined : host.find(name);
      if (disposable !== undefined)
        host.fire(disposable, 'property-reset:is_preload', { name: 'is_preload' });
    }
  });
}
