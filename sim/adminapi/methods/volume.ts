import { ApiError, errors, NoReply } from '../../host/errors.js';
import { parseBool } from '../../host/properties/access.js';
import { isOutdated, pathOf } from '../../host/storage.js';
import type { Volume } from '../../host/volume.js';
import { type Call, isAscii, lines, method, textOf } from '../method.js';

const one = { arg: true } as const;
const change = { arg: true, payload: true } as const;

export const VOLUME_METHODS = [
  method('admin.vm.volume.List', {}, ({ dest }) => lines(dest.volumes.keys())),
  method('admin.vm.volume.Info', one, (call) => {
    const { host, dest } = call;
    const volume = volumeOf(call);
    const fields: [string, string | number | boolean][] = [
      ['pool', volume.pool],
      ['vid', volume.vid],
      ['size', volume.size],
      ['usage', volume.usage],
      ['rw', volume.rw],
      ['source', volume.source ?? ''],
      ['path', pathOf(host, volume)],
      ['save_on_stop', volume.saveOnStop],
      ['snap_on_start', volume.snapOnStart],
      ['revisions_to_keep', volume.revisionsToKeep],
      ['ephemeral', volume.ephemeral],
      ['is_outdated', isOutdated(host, dest, volume)],
    ];
    return lines(fields.map(([key, value]) => `${key}=${python(value)}`));
  }),
  method('admin.vm.volume.ListSnapshots', one, (call) => lines(volumeOf(call).revisions)),
  method('admin.vm.volume.Revert', change, (call) => {
    const volume = volumeOf(call);
    const revision = textOf(call.payload).trim();
    if (!/^[A-Za-z0-9:._@-]*$/.test(revision)) {
      throw errors.protocol('Revision name must be in safe set');
    }
    const at = volume.revisions.indexOf(revision);
    if (at < 0) throw new NoReply(`no revision ${revision}`);
    volume.revisions.splice(at);
    volume.generation++;
    return undefined;
  }),
  method('admin.vm.volume.Resize', change, (call) => {
    const volume = volumeOf(call);
    const size = numberOf(textOf(call.payload).trim(), 'volume size');
    if (!volume.rw) {
      throw new ApiError('StoragePoolException', `Cannot resize: ${volume.vid} is read-only`);
    }
    volume.size = size;
    return undefined;
  }),
  method('admin.vm.volume.Clear', one, async (call) => {
    const { host, dest } = call;
    const volume = volumeOf(call);
    if (!volume.saveOnStop) throw new NoReply('only volumes that are saved can be imported to');
    host.fire(dest, 'domain-volume-import-begin', { volume: volume.name, size: volume.size });
    await host.imported({ qube: dest.name, volume: volume.name }, null);
    volume.generation++;
    volume.usage = 0;
    host.fire(dest, 'domain-volume-import-end', { volume: volume.name, success: true });
    return undefined;
  }),
  method('admin.vm.volume.Set.revisions_to_keep', change, (call) => {
    const volume = volumeOf(call);
    const count = numberOf(textOf(call.payload), 'revisions to keep', true);
    if (count < -1) throw errors.value('Invalid value for revisions_to_keep');
    const toggles = count !== volume.revisionsToKeep && (count === -1 || volume.revisionsToKeep === -1);
    if (toggles && call.dest.running) throw errors.notHalted(call.dest.name);
    volume.revisionsToKeep = count;
    if (count >= 0) volume.revisions = volume.revisions.slice(Math.max(0, volume.revisions.length - count));
    return undefined;
  }),
  method('admin.vm.volume.Set.rw', change, (call) => {
    const volume = volumeOf(call);
    const value = boolOf(call.payload);
    if (!call.dest.halted) throw errors.notHalted(call.dest.name);
    volume.rw = value;
    return undefined;
  }),
  method('admin.vm.volume.Set.ephemeral', change, (call) => {
    const volume = volumeOf(call);
    const value = boolOf(call.payload);
    if (value && (volume.snapOnStart || volume.saveOnStop || !volume.rw)) {
      throw errors.value(
        'Cannot enable ephemeral on snap_on_start or save_on_stop or non-dom0 or not writable volume',
      );
    }
    volume.ephemeral = value;
    return undefined;
  }),
  method('admin.vm.volume.CloneFrom', one, (call) => {
    const volume = volumeOf(call);
    const token = call.host.random.token(32);
    call.host.storage.offers.set(token, { qube: call.dest, volume });
    return token;
  }),
  method('admin.vm.volume.CloneTo', change, cloneTo),
];

/** Copies what the offered volume held when its qube last stopped, without the changes of a running qube. */
async function cloneTo(call: Call): Promise<undefined> {
  const { host, dest, payload } = call;
  const volume = volumeOf(call);
  if (!isAscii(payload)) throw errors.protocol('Token contains non-ASCII characters');
  const token = textOf(payload).trim();
  const offer = host.storage.offers.get(token);
  if (offer === undefined) throw errors.noToken();
  host.storage.offers.delete(token);
  if (host.find(offer.qube.name) !== offer.qube || !offer.qube.volumes.has(offer.volume.name)) {
    throw new NoReply('the volume offered is gone');
  }
  if (volume.saveOnStop) {
    if (!offer.volume.saveOnStop) throw new NoReply('the volume offered cannot be exported');
    volume.size = offer.volume.size;
    volume.usage = offer.volume.usage;
    volume.generation++;
    await host.imported(
      { qube: dest.name, volume: volume.name },
      { qube: offer.qube.name, volume: offer.volume.name },
    );
  }
  host.fire(dest, 'domain-import-volume', { name: volume.name, source: offer.volume.vid });
  return undefined;
}

function volumeOf({ dest, argument }: Call): Volume {
  // dom0 and qubes on another machine have no volumes; the daemon fails on them.
  if (dest.class === 'AdminVM' || dest.class === 'RemoteVM') throw new NoReply('no volumes');
  const volume = dest.volumes.get(argument);
  if (volume === undefined) throw errors.denied(`Argument not in '${dest.name} volumes'`);
  return volume;
}

const python = (value: string | number | boolean): string =>
  typeof value === 'boolean' ? (value ? 'True' : 'False') : String(value);

export function numberOf(untrusted_text: string, what: string, negative = false): number {
  const title = what.charAt(0).toUpperCase() + what.slice(1);
  if (!(negative ? /^-?\d+$/ : /^\d+$/).test(untrusted_text)) {
    throw errors.protocol(`${title} contains non ASCII digits`);
  }
  const digits = untrusted_text.replace('-', '');
  if (digits.length >= 20) throw errors.protocol(`${title} is bigger than 19 decimal digits`);
  if (digits.length > 1 && digits.startsWith('0'))
    throw errors.protocol(`${title} contains spurious leading zeros`);
  return Number(untrusted_text);
}

export function boolOf(untrusted_payload: Uint8Array): boolean {
  try {
    return parseBool(textOf(untrusted_payload));
  } catch {
    throw errors.protocol('Payload is not boolean ASCII');
  }
}
