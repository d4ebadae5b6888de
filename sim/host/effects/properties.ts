import { errors, repr } from '../errors.js';
import type { Events } from '../events.js';
import { removeFeature, setFeature } from '../features.js';
import { read } from '../properties/access.js';
import type { HostState } from '../state.js';
import { rebase } from '../storage.js';

/** Properties of a template that its qubes inherit. */
const INHERITED = [
  'default_user',
  'kernel',
  'kernelopts',
  'vcpus',
  'memory',
  'maxmem',
  'qrexec_timeout',
  'shutdown_timeout',
  'management_dispvm',
];

export function propertyEffects(events: Events<HostState>): void {
  for (const name of ['label', 'template_for_dispvms']) {
    events.react(`property-set:${name}`, (host, qube) => {
      if (qube !== null) host.fire(qube, 'property-reset:icon', { name: 'icon' });
    });
  }
  for (const name of ['kernel', 'default_kernel']) {
    events.react(`property-pre-set:${name}`, (host, _subject, { newvalue }) => {
      if (newvalue !== '' && !host.kernels.includes(String(newvalue))) {
        throw errors.propertyValue(`Kernel ${repr(String(newvalue))} not installed`);
      }
    });
  }
  events.react('property-set:kernel', (_host, qube, { newvalue }) => {
    const volume = qube?.volumes.get('kernel');
    if (volume !== undefined) volume.vid = String(newvalue ?? '');
  });
  for (const name of INHERITED) {
    events.react(`property-set:${name}`, (host, qube, { newvalue, oldvalue }) => {
      if (qube?.class !== 'TemplateVM' || newvalue === oldvalue) return;
      for (const based of host.basedOn(qube)) {
        if (!based.set.has(name)) host.fire(based, `property-reset:${name}`, { name });
      }
    });
  }
  templateEffects(events);
  clockEffects(events);
  bootEffects(events);
}

function templateEffects(events: Events<HostState>): void {
  events.react('property-pre-set:template', (_host, qube) => {
    if (qube !== null && !qube.halted) {
      throw errors.notHalted(qube.name, 'Cannot change template while qube is running');
    }
  });
  events.react('property-set:template', (host, qube) => {
    if (qube === null) return;
    rebase(host, qube);
    for (const disposable of host.basedOn(qube)) rebase(host, disposable);
  });
  events.react('property-pre-reset:template', (host, qube) => {
    if (qube === null) return;
    const template = qube.class === 'AppVM' ? host.global('default_template') : null;
    throw errors.value(
      template === null
        ? 'Cannot unset template'
        : `Cannot unset template. You can set it to the current default (${template}) instead`,
    );
  });
}

/** The qube that keeps the host's clock runs the service for that. */
function clockEffects(events: Events<HostState>): void {
  events.react('property-pre-set:clockvm', (host, _subject, { newvalue }) => {
    if (typeof newvalue !== 'string') return;
    const qube = host.domain(newvalue);
    if (!qube.features.has('service.clocksync')) setFeature(host, qube, 'service.clocksync', '1');
  });
  events.react('property-set:clockvm', (host, _subject, { newvalue, oldvalue }) => {
    if (typeof oldvalue !== 'string' || newvalue === oldvalue) return;
    const qube = host.find(oldvalue);
    if (qube?.features.get('service.clocksync')) removeFeature(host, qube, 'service.clocksync');
  });
}

function bootEffects(events: Events<HostState>): void {
  const fallback = 'appvm_default_bootmode';
  for (const change of ['set', 'reset'] as const) {
    events.react(`property-${change}:${fallback}`, (host, qube, args) => {
      if (qube === null || (change === 'set' && args.newvalue === args.oldvalue)) return;
      for (const based of host.basedOn(qube)) {
        if (!based.set.has('bootmode')) host.fire(based, 'property-reset:bootmode', { name: 'bootmode' });
      }
    });
  }
  events.react('domain-feature-set:boot-mode.active', (host, qube, { value, oldvalue }) => {
    if (qube === null || value === oldvalue || qube.set.has('bootmode')) return;
    if (read(host, qube, 'bootmode') !== undefined) {
      host.fire(qube, 'property-reset:bootmode', { name: 'bootmode' });
    }
  });
}
