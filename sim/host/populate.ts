import type { DeviceSpec, HostSpec, QubeSpec } from '../host-spec.js';
import { HostSpecError } from '../host-spec.js';
import { tagServers } from './create.js';
import { listOf } from './devices.js';
import { canonicalRule } from './firewall.js';
import { propertiesOf } from './properties/access.js';
import { type Device, DOM0_UUID, type PropertyValue, Qube } from './qube.js';
import type { HostState } from './state.js';
import { createVolumes, startVolumes } from './storage.js';

const LABELS = [
  ['red', '0xcc0000'],
  ['orange', '0xf57900'],
  ['yellow', '0xedd400'],
  ['green', '0x73d216'],
  ['gray', '0x555555'],
  ['blue', '0x3465a4'],
  ['purple', '0x75507b'],
  ['black', '0x000000'],
] as const;

/** Builds a host from a file that describes one. It sends no events: this is the state before the first call. */
export function populate(host: HostState, world: HostSpec): void {
  for (const [name, color] of [...LABELS, ...Object.entries(world.labels ?? {})]) {
    host.labels.push({ index: host.labels.length + 1, name, color });
  }
  addPools(host, world);
  host.machine = { ...host.machine, ...world.machine };
  if (world.deviceclasses !== undefined) host.deviceClasses = [...world.deviceclasses].sort();
  setGlobals(host, world);
  host.kernels = world.kernels ?? [String(host.globals.get('default_kernel'))];
  const given = world.qubes.find((spec) => spec.class === 'AdminVM');
  const specs: QubeSpec[] = [
    given ?? { name: 'dom0', class: 'AdminVM', label: 'black' },
    ...world.qubes.filter((spec) => spec !== given),
  ];
  const qubes = specs.map((spec) => addQube(host, spec));
  const specOf = new Map(qubes.map((qube, at) => [qube, specs[at] as QubeSpec]));
  check(host, specs, qubes);
  for (const [at, qube] of qubes.entries()) finish(host, qube, specs[at] as QubeSpec);
  for (const qube of templatesFirst(host, qubes)) {
    if (qube.class !== 'AdminVM' && qube.class !== 'RemoteVM') {
      createVolumes(host, qube);
      tune(host, qube, specOf.get(qube) as QubeSpec);
      if (qube.running) startVolumes(host, qube);
    }
  }
  connectVisibility(host, world.visible ?? {});
}

function addPools(host: HostState, world: HostSpec): void {
  const pools = world.pools ?? [
    {
      name: 'varlibqubes',
      driver: 'file-reflink',
      options: { dir_path: '/var/lib/qubes' },
      size: 270553174016,
      usage: 24813920256,
    },
    { name: 'linux-kernel', driver: 'linux-kernel', options: { dir_path: '/var/lib/qubes/vm-kernels' } },
  ];
  for (const { name, driver, options = {}, size, usage } of pools) {
    host.storage.pools.set(name, {
      name,
      driver,
      options: new Map(Object.entries(options)),
      size: size ?? null,
      usage: usage ?? null,
    });
  }
}

function setGlobals(host: HostState, world: HostSpec): void {
  const rows = propertiesOf(host.api, 'global');
  host.globals.set('default_kernel', '6.12.25-1.fc41');
  host.globals.set('default_pool_kernel', 'linux-kernel');
  for (const [name, value] of Object.entries(world.properties ?? {})) {
    if (!rows.has(name)) throw new HostSpecError(`/properties/${name}: there is no such global property`);
    host.globals.set(name, value as PropertyValue);
  }
}

function addQube(host: HostState, spec: QubeSpec): Qube {
  const dom0 = spec.class === 'AdminVM';
  const qid = dom0 ? 0 : (spec.qid ?? host.freeQid());
  const qube = new Qube(spec.name, spec.class, dom0 ? DOM0_UUID : (spec.uuid ?? host.random.uuid()), qid);
  if (!dom0) qube.set.set('name', qube.name).set('qid', qube.qid).set('uuid', qube.uuid);
  qube.set.set('label', spec.label);
  if (spec.class === 'DispVM') qube.set.set('dispid', spec.dispid ?? host.freeDispid());
  if (spec.template !== undefined) qube.set.set('template', spec.template);
  const rows = propertiesOf(host.api, spec.class);
  for (const [name, value] of Object.entries(spec.properties ?? {})) {
    if (!rows.has(name))
      throw new HostSpecError(`${spec.name}: /properties/${name}: ${spec.class} has no such property`);
    qube.set.set(name, value as PropertyValue);
  }
  for (const [feature, value] of Object.entries(spec.features ?? {})) qube.features.set(feature, value);
  for (const tag of spec.tags ?? []) qube.tags.add(tag);
  if (spec.firewall !== undefined) qube.firewall = spec.firewall.map(canonicalRule);
  qube.notes = spec.notes ?? '';
  host.register(qube);
  return qube;
}

/** A file that refers to something missing is a mistake of its author: say so instead of simulating it. */
function check(host: HostState, specs: readonly QubeSpec[], qubes: readonly Qube[]): void {
  for (const [at, qube] of qubes.entries()) {
    const spec = specs[at] as QubeSpec;
    if (!host.labels.some(({ name }) => name === spec.label)) {
      throw new HostSpecError(`${qube.name}: /label: there is no label ${spec.label}`);
    }
    if ((qube.class === 'AppVM' || qube.class === 'DispVM') && spec.template === undefined) {
      throw new HostSpecError(`${qube.name}: /template: ${qube.class} needs one`);
    }
    const rows = propertiesOf(host.api, qube.class);
    for (const [name, value] of qube.set) {
      if (rows.get(name)?.type !== 'vm' || value === null) continue;
      if (host.find(String(value)) === undefined) {
        throw new HostSpecError(`${qube.name}: /properties/${name}: there is no qube ${value}`);
      }
    }
  }
  for (const [name, row] of propertiesOf(host.api, 'global')) {
    const value = host.globals.get(name);
    if (row.type === 'vm' && typeof value === 'string' && host.find(value) === undefined) {
      throw new HostSpecError(`/properties/${name}: there is no qube ${value}`);
    }
  }
}

function finish(host: HostState, qube: Qube, spec: QubeSpec): void {
  if (qube.class === 'AdminVM') qube.power = 'Running';
  else tagServers(host, qube);
  if (spec.state === 'Running' || spec.state === 'Paused') {
    qube.power = spec.state;
    qube.usable = true;
    qube.xid = host.nextXid();
    qube.startTime = host.now();
  }
  for (const device of spec.devices ?? []) {
    listOf(qube.devices.exposed, device.class).push(deviceOf(qube, device));
  }
}

/** A device of the file. Without an id, it gets the one that the platform would generate. */
export function deviceOf(backend: Qube, spec: DeviceSpec): Device {
  const labels = new Map<string, string>();
  for (const key of ['vendor', 'product', 'manufacturer', 'name', 'serial'] as const) {
    const text = spec[key];
    if (text !== undefined) labels.set(key, text);
  }
  const parent = spec.parent ?? null;
  if (spec.class === 'block' && !labels.has('manufacturer')) {
    labels.set(
      'manufacturer',
      parent === null ? `hosted by ${backend.name}` : `sub-device of ${backend.name}:${parent}`,
    );
  }
  const partition = /\d+$/.exec(spec.port)?.[0];
  return {
    backend,
    devclass: spec.class,
    port: spec.port,
    id:
      spec.id ??
      (spec.class === 'block' ? (parent === null ? ':None' : `:None:${partition}`) : '0000:0000::?******'),
    interfaces: spec.interfaces ?? INTERFACES[spec.class],
    labels,
    parent,
    mode: spec.mode ?? 'w',
    size: spec.size ?? 0,
  };
}

const INTERFACES = { block: 'b******', usb: '?******', mic: 'm******', pci: 'p000000' } as const;

function* templatesFirst(host: HostState, qubes: readonly Qube[]): Generator<Qube> {
  const done = new Set<Qube>();
  const visit = function* (qube: Qube): Generator<Qube> {
    if (done.has(qube)) return;
    done.add(qube);
    const template = host.related(qube, 'template');
    if (template !== null) yield* visit(template);
    yield qube;
  };
  for (const qube of qubes) yield* visit(qube);
}

function tune(host: HostState, qube: Qube, spec: QubeSpec): void {
  for (const [name, wanted] of Object.entries(spec.volumes ?? {})) {
    const volume = qube.volumes.get(name);
    if (volume === undefined)
      throw new HostSpecError(`${qube.name}: /volumes/${name}: there is no such volume`);
    if (wanted.pool !== undefined) volume.pool = host.storage.pool(wanted.pool).name;
    if (wanted.size !== undefined) volume.size = wanted.size;
    if (wanted.usage !== undefined) volume.usage = wanted.usage;
    if (wanted.rw !== undefined) volume.rw = wanted.rw;
    if (wanted.ephemeral !== undefined) volume.ephemeral = wanted.ephemeral;
    if (wanted.revisions_to_keep !== undefined) volume.revisionsToKeep = wanted.revisions_to_keep;
    if (wanted.revisions !== undefined) volume.revisions = [...wanted.revisions];
  }
}

function connectVisibility(host: HostState, visible: Readonly<Record<string, readonly string[]>>): void {
  host.visible = (_service, _argument, source, target) => {
    const qube = host.find(target);
    return (visible[source] ?? []).some(
      (token) =>
        token === target ||
        token === '@anyvm' ||
        (token === '@adminvm' && (target === 'dom0' || target === '@adminvm')) ||
        (token.startsWith('@tag:') && (qube?.tags.has(token.slice(5)) ?? false)),
    );
  };
}
