import { errors } from './errors.js';
import { describe, propertiesOf } from './properties/access.js';
import { Qube, type QubeClass } from './qube.js';
import type { HostState } from './state.js';
import { createVolumes } from './storage.js';
import { addTag } from './tags.js';
import type { VolumeName } from './volume.js';

/** The parameters of a new qube. */
export interface NewQube {
  readonly class: QubeClass;
  readonly name: string;
  readonly label: string | null;
  readonly template: Qube | null;
  readonly pools?: (volume: VolumeName) => string | undefined;
}

export const TEMPLATE_BASED: ReadonlySet<QubeClass> = new Set(['AppVM', 'DispVM']);

/** The template of a class by default. */
export function defaultTemplate(host: HostState, qubeClass: QubeClass): Qube | null {
  if (!TEMPLATE_BASED.has(qubeClass)) return null;
  const name = host.global(qubeClass === 'DispVM' ? 'default_dispvm' : 'default_template');
  if (name === null) throw errors.value('Template for the qube not specified, nor default template set.');
  return host.domain(String(name));
}

/** Creates a qube for another qube: lists it, tags it with its creator, and gives it volumes. */
export function create(host: HostState, birth: NewQube, by: string): Qube {
  const qube = newQube(host, birth);
  addToHost(host, qube);
  addTag(host, qube, `created-by-${by}`);
  createOnDisk(host, qube, birth.pools);
  return qube;
}

/** The qube before anyone can see it. Changes here send no event. */
export function newQube(host: HostState, { class: qubeClass, name, label, template }: NewQube): Qube {
  if (qubeClass === 'AdminVM') throw errors.propertyValue("property 'qid' on AdminVM instance cannot be set");
  if (qubeClass === 'AppVM' && template !== null && template.class !== 'TemplateVM') {
    throw errors.propertyValue(
      `wrong VM class: domains[${describe(host, template)}] is of type ${template.class} and not TemplateVM`,
    );
  }
  const dispvm = qubeClass === 'DispVM';
  if (dispvm && (template === null || host.property(template, 'template_for_dispvms') !== true)) {
    const word = host.since('4.3') ? 'disposable' : 'DispVM';
    throw errors.value(
      `template for ${word} (${template?.name}) needs to be an AppVM with template_for_dispvms=True`,
    );
  }
  const dispid = dispvm ? host.freeDispid() : null;
  const qube = new Qube(
    dispvm && name === '' ? `disp${dispid}` : name,
    qubeClass,
    host.random.uuid(),
    host.freeQid(),
  );
  qube.set.set('name', qube.name).set('qid', qube.qid).set('uuid', qube.uuid);
  if (dispid !== null) qube.set.set('dispid', dispid);
  if (label !== null) qube.set.set('label', label);
  if (template !== null) qube.set.set('template', template.name);
  if (host.global('check_updates_vm') === false) qube.features.set('check-updates', '');
  tagServers(host, qube);
  if (dispvm && template !== null) inherit(host, qube, template);
  return qube;
}

/** `guivm-x` and `audiovm-x` are present from the start. */
export function tagServers(host: HostState, qube: Qube): void {
  for (const kind of ['audiovm', 'guivm'] as const) {
    const server = host.property(qube, kind);
    if (typeof server === 'string') qube.tags.add(`${kind}-${server}`);
  }
}

/** A disposable copies everything that was set on its template. */
function inherit(host: HostState, qube: Qube, template: Qube): void {
  const rows = propertiesOf(host.api, 'DispVM');
  for (const [name, value] of template.set) {
    const row = rows.get(name);
    if (row === undefined || !row.clone || name === 'template' || qube.set.has(name)) continue;
    qube.set.set(name, value);
  }
  qube.firewall = [...template.firewall];
  for (const [feature, value] of template.features) {
    if (!feature.startsWith('preload-dispvm')) qube.features.set(feature, value);
  }
  for (const tag of template.tags) qube.tags.add(tag);
}

export function addToHost(host: HostState, qube: Qube): void {
  host.register(qube);
  host.fire(null, 'domain-add', { vm: qube.name });
}

/** Creates the volumes; a qube on another machine has none. */
export function createOnDisk(host: HostState, qube: Qube, pools?: NewQube['pools']): void {
  if (qube.class === 'RemoteVM') return;
  createVolumes(host, qube, pools);
  host.fire(qube, 'domain-create-on-disk');
}
