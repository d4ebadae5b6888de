import type { Qube, QubeClass } from './qube.js';
import type { HostState } from './state.js';
import { VOLUMES, type Volume, type VolumeName } from './volume.js';

const ROOT_SIZE = 10 * 1024 ** 3;
const PRIVATE_SIZE = 2 * 1024 ** 3;

/** How the volumes of a class behave. */
function shape(
  qubeClass: QubeClass,
  name: VolumeName,
): Pick<Volume, 'saveOnStop' | 'snapOnStart' | 'rw' | 'size'> {
  const based = qubeClass === 'AppVM' || qubeClass === 'DispVM';
  switch (name) {
    case 'root':
      return { saveOnStop: !based, snapOnStart: based, rw: true, size: ROOT_SIZE };
    case 'private':
      return {
        saveOnStop: qubeClass !== 'DispVM',
        snapOnStart: qubeClass === 'DispVM',
        rw: true,
        size: PRIVATE_SIZE,
      };
    case 'volatile':
      return {
        saveOnStop: false,
        snapOnStart: false,
        rw: true,
        size: qubeClass === 'DispVM' ? ROOT_SIZE + PRIVATE_SIZE : ROOT_SIZE,
      };
    case 'kernel':
      return { saveOnStop: false, snapOnStart: false, rw: false, size: 0 };
  }
}

/** Creates a new qube's volumes: in the requested pools, or else in the host's default pool for each kind. */
export function createVolumes(
  host: HostState,
  qube: Qube,
  poolFor: (volume: VolumeName) => string | undefined = () => undefined,
): void {
  const template = host.related(qube, 'template');
  for (const name of VOLUMES) {
    const form = shape(qube.class, name);
    const origin = form.snapOnStart ? (template?.volumes.get(name) ?? null) : null;
    const like = qube.class === 'DispVM' ? template?.volumes.get(name) : undefined;
    const pool = poolFor(name) ?? origin?.pool ?? like?.pool ?? String(host.global(`default_pool_${name}`));
    qube.volumes.set(name, {
      ...form,
      name,
      pool,
      vid: name === 'kernel' ? String(host.property(qube, 'kernel') ?? '') : `${directory(qube)}/${name}`,
      size: origin?.size ?? form.size,
      usage: 0,
      rw: like?.rw ?? form.rw,
      source: origin === null ? null : origin.vid,
      revisionsToKeep:
        name === 'kernel' ? 0 : Number(host.storage.pools.get(pool)?.options.get('revisions_to_keep') ?? 1),
      ephemeral: like?.ephemeral ?? false,
      revisions: [],
      generation: 0,
      sourceGeneration: null,
    });
  }
}

function directory(qube: Qube): string {
  return `${qube.class === 'TemplateVM' ? 'vm-templates' : 'appvms'}/${qube.name}`;
}

/** After a change of the template, a qube's snapshots come from the new one. */
export function rebase(host: HostState, qube: Qube): void {
  const template = host.related(qube, 'template');
  for (const volume of qube.volumes.values()) {
    if (!volume.snapOnStart) continue;
    const origin = template?.volumes.get(volume.name);
    if (origin === undefined) continue;
    volume.source = origin.vid;
    volume.size = origin.size;
  }
}

export function originOf(host: HostState, qube: Qube, volume: Volume): Volume | null {
  return volume.snapOnStart ? (host.related(qube, 'template')?.volumes.get(volume.name) ?? null) : null;
}

/** The file or device behind a volume. */
export function pathOf(host: HostState, volume: Volume): string {
  const pool = host.storage.pools.get(volume.pool);
  const dir = pool?.options.get('dir_path') ?? '';
  switch (pool?.driver) {
    case 'linux-kernel':
      return `${dir}/${volume.vid}/modules.img`;
    case 'file-reflink':
      return `${dir}/${volume.vid}-dirty.img`;
    case 'lvm_thin':
      return `/dev/${pool.options.get('volume_group')}/vm-${volume.vid.replace(/^[^/]*\//, '').replaceAll('/', '-')}`;
    case 'zfs':
      return `/dev/zvol/${pool.options.get('container')}/${volume.vid}`;
    default:
      return volume.snapOnStart
        ? `${dir}/${volume.source}.img:${dir}/${volume.vid}-cow.img`
        : `${dir}/${volume.vid}.img`;
  }
}

/** Whether a running snapshot is older than its source. */
export function isOutdated(host: HostState, qube: Qube, volume: Volume): boolean {
  const origin = originOf(host, qube, volume);
  return origin !== null && volume.sourceGeneration !== null && volume.sourceGeneration !== origin.generation;
}

/** When a domain ends, changes become a new revision or are lost. */
export function settleVolumes(host: HostState, qube: Qube): void {
  for (const volume of qube.volumes.values()) {
    volume.sourceGeneration = null;
    if (!volume.saveOnStop) continue;
    keepRevision(host, volume);
    volume.generation++;
  }
}

export function startVolumes(host: HostState, qube: Qube): void {
  for (const volume of qube.volumes.values()) {
    const origin = originOf(host, qube, volume);
    if (origin === null) continue;
    volume.sourceGeneration = origin.generation;
    volume.size = Math.max(volume.size, origin.size);
  }
}

function keepRevision(host: HostState, volume: Volume): void {
  if (volume.revisionsToKeep <= 0) return;
  volume.revisions.push(host.revisionName());
  if (volume.revisions.length > volume.revisionsToKeep) {
    volume.revisions.splice(0, volume.revisions.length - volume.revisionsToKeep);
  }
}

/** Bytes of persistent disk, at full size. */
export function diskOf(qube: Qube): number {
  let sum = 0;
  for (const volume of qube.volumes.values()) if (volume.saveOnStop) sum += volume.size;
  return sum;
}
