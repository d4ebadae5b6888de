import { addToHost, createOnDisk, newQube } from './create.js';
import { errors } from './errors.js';
import { findFeature, removeFeature, setFeature } from './features.js';
import { kill, start, unpause } from './power.js';
import type { Qube } from './qube.js';
import { removeHalted } from './remove.js';
import type { HostState } from './state.js';
import { addTag } from './tags.js';

const SERVICES = ['qubes.WaitForRunningSystem', 'qubes.WaitForSession'];

/** A disposable for a caller: a preloaded one, or a new one that is not started. */
export async function createDisposable(host: HostState, template: Qube | null, by: string): Promise<Qube> {
  enforceTemplate(host, template);
  const qube = (await takePreloaded(host, template as Qube)) ?? generate(host, template as Qube);
  addTag(host, qube, `created-by-${by}`);
  addTag(host, qube, `disp-created-by-${by}`);
  return qube;
}

function enforceTemplate(host: HostState, template: Qube | null): void {
  if (template !== null && host.property(template, 'template_for_dispvms') === true) return;
  throw errors.exception(
    'Refusing to create disposable out of app qube which has template_for_dispvms=False',
  );
}

function generate(host: HostState, template: Qube): Qube {
  const qube = unnamed(host, template);
  createOnDisk(host, qube);
  return qube;
}

function unnamed(host: HostState, template: Qube): Qube {
  const qube = newQube(host, { class: 'DispVM', name: '', label: null, template });
  qube.set.set('auto_cleanup', true);
  addToHost(host, qube);
  return qube;
}

/** A disposable with `auto_cleanup` is removed when its domain ends. */
export async function cleanUp(host: HostState, qube: Qube): Promise<void> {
  if (host.find(qube.name) !== qube) return;
  const template = host.related(qube, 'template');
  if (template !== null) unlist(host, template, [qube.name]);
  await removeHalted(host, qube);
}

// Preloading: disposables that are started in advance, paused, and listed in a feature of their template.

export function preloaded(template: Qube): string[] {
  return (template.features.get('preload-dispvm') ?? '').split(' ').filter((name) => name !== '');
}

/** How many disposables of a template should be preloaded. For the default disposable template, dom0's feature comes first. */
export function wanted(host: HostState, template: Qube): number {
  const global = isGlobal(host, template) ? host.dom0.features.get('preload-dispvm-max') : undefined;
  return Number(global ?? template.features.get('preload-dispvm-max') ?? 0);
}

export function isGlobal(host: HostState, template: Qube): boolean {
  return host.global('default_dispvm') === template.name && host.dom0.features.has('preload-dispvm-max');
}

export function missingServices(host: HostState, template: Qube): string[] {
  return SERVICES.filter((service) => !findFeature(host, template, `supported-rpc.${service}`, 'template'));
}

function canPreload(host: HostState, template: Qube): boolean {
  return preloaded(template).length < wanted(host, template);
}

/** Announces the change, then preloads or removes disposables to reach the number. */
export async function refill(
  host: HostState,
  template: Qube,
  cause: { used: string; delay: number } | { reason: string },
): Promise<void> {
  if ('used' in cause) {
    const delay = Number.isInteger(cause.delay) ? `${cause.delay}.0` : String(cause.delay);
    host.fire(template, 'domain-preload-dispvm-used', { dispvm: cause.used, delay });
    await host.wait(Math.abs(cause.delay));
    if (host.find(template.name) !== template) return;
  } else host.fire(template, 'domain-preload-dispvm-start', { reason: cause.reason });
  const missing = missingServices(host, template);
  if (missing.length > 0) {
    throw errors.value(
      `Qube does not support the RPC(s) '${missing.join(', ')}' but tried to preload, check if template is outdated`,
    );
  }
  if (!canPreload(host, template)) await trim(host, template, wanted(host, template));
  for (let left = wanted(host, template) - preloaded(template).length; left > 0; left--) {
    await preload(host, template);
  }
}

async function preload(host: HostState, template: Qube): Promise<void> {
  const qube = unnamed(host, template);
  setFeature(host, qube, 'preload-dispvm-in-progress', '1');
  setFeature(host, template, 'preload-dispvm', [...preloaded(template), qube.name].join(' '));
  setFeature(host, qube, 'internal', '1');
  createOnDisk(host, qube);
  await start(host, qube);
}

/** A preloaded disposable that has started is paused until it is requested. */
export async function rest(host: HostState, qube: Qube): Promise<void> {
  if (!qube.preloadRequested) {
    host.announce(qube, 'domain-cmd-pre-run', { start_guid: false });
    host.announce(qube, 'domain-pre-paused');
    qube.power = 'Paused';
  }
  setFeature(host, qube, 'preload-dispvm-completed', '1');
  if (!qube.preloadRequested) {
    setFeature(host, qube, 'preload-dispvm-in-progress', '');
    host.fire(qube, 'domain-paused');
  }
}

async function takePreloaded(host: HostState, template: Qube): Promise<Qube | null> {
  for (const name of preloaded(template)) {
    const qube = host.find(name);
    if (qube === undefined || !qube.features.has('preload-dispvm-completed')) continue;
    setFeature(host, qube, 'preload-dispvm-in-progress', '1');
    unlist(host, template, [name]);
    request(host, qube, true);
    if (qube.power === 'Paused') await unpause(host, qube);
    else await used(host, qube);
    return qube;
  }
  return null;
}

function request(host: HostState, qube: Qube, requested: boolean): void {
  qube.preloadRequested = requested;
  host.fire(qube, 'property-reset:is_preload', { name: 'is_preload' });
}

/** From now on, it is a disposable like any other. */
export async function used(host: HostState, qube: Qube): Promise<void> {
  const template = host.related(qube, 'template');
  if (template === null) return;
  const requested = qube.preloadRequested;
  if (qube.features.has('internal') && !template.features.get('internal')) {
    removeFeature(host, qube, 'internal');
  }
  if (requested) {
    request(host, qube, false);
    removeFeature(host, qube, 'preload-dispvm-in-progress');
  } else {
    unlist(host, template, [qube.name]);
    setFeature(host, qube, 'preload-dispvm-in-progress', '');
  }
  const delay = Number(findFeature(host, template, 'preload-dispvm-delay', null, true) ?? 3);
  if (delay < 0 && preloaded(template).length > 0) return;
  host.defer(() => refill(host, template, { used: qube.name, delay }));
}

export function unlist(host: HostState, template: Qube, names: readonly string[]): void {
  const list = preloaded(template);
  const left = list.filter((name) => !names.includes(name));
  if (left.length < list.length) setFeature(host, template, 'preload-dispvm', left.join(' '));
}

/** Keeps the first `keep` and removes the others. */
export async function trim(host: HostState, template: Qube, keep: number): Promise<void> {
  const list = preloaded(template);
  const excess = list.slice(keep);
  if (excess.length === 0) return;
  setFeature(host, template, 'preload-dispvm', list.slice(0, keep).join(' '));
  for (const name of excess) {
    const qube = host.find(name);
    if (qube === undefined) continue;
    if (qube.halted) await cleanUp(host, qube);
    else await kill(host, qube);
  }
}
