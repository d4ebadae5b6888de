import { create, defaultTemplate, TEMPLATE_BASED } from '../../host/create.js';
import { createDisposable, refill } from '../../host/disposables.js';
import { type ApiError, errors, NoReply } from '../../host/errors.js';
import { validateLabelName, validateName } from '../../host/names.js';
import { remove } from '../../host/remove.js';
import type { HostState } from '../../host/state.js';
import { VOLUMES, type VolumeName } from '../../host/volume.js';
import { type Call, classOf, isAscii, method, textOf } from '../method.js';

const onDom0 = { arg: null, payload: null, dom0: true } as const;

export const CREATE_METHODS = [
  method('admin.vm.Create.{}', { ...onDom0, endpoints: 'classes' }, (call) => createQube(call, false)),
  method('admin.vm.CreateInPool.{}', { ...onDom0, endpoints: 'classes' }, (call) => createQube(call, true)),
  method('admin.vm.CreateDisposable', { arg: null, payload: null }, disposable),
  method('admin.vm.Remove', {}, async ({ host, dest }) => {
    await remove(host, dest);
    return undefined;
  }),
];

interface Options {
  readonly name: string | null;
  readonly label: string | null;
  readonly pool: string | null;
  readonly pools: ReadonlyMap<string, string>;
  /** A missing pool is reported last. */
  readonly badPool: ApiError | null;
}

function createQube(call: Call, allowPool: boolean): undefined {
  const { host, source, argument, payload } = call;
  const qubeClass = classOf(call);
  let missing: ApiError | null = null;
  let template = null;
  if (argument !== '') {
    if (!TEMPLATE_BASED.has(qubeClass)) {
      const message = `${qubeClass} cannot be based on template`;
      throw host.since('4.4') ? errors.protocol(message) : errors.value(message);
    }
    template = host.find(argument) ?? null;
    if (template === null) missing = errors.noDomain(argument);
    if (missing !== null && !host.since('4.4')) throw missing;
  }
  if (!isAscii(payload)) throw errors.protocol('Parameters contains non-ASCII characters');
  const options = parseOptions(host, textOf(payload), allowPool);
  if (options.name === null) throw errors.protocol('Creation requested without key: name');
  if (options.label === null) throw errors.protocol('Creation requested without key: label');
  if (options.pool !== null && options.pools.size > 0) {
    throw errors.protocol("Conflicting options specified: 'pool=', 'pool:volume='");
  }
  if (host.find(options.name) !== undefined) {
    throw host.since('4.4') ? errors.exists(options.name) : errors.value(`VM ${options.name} already exists`);
  }
  if (missing !== null) throw missing;
  if (options.badPool !== null) throw options.badPool;
  create(
    host,
    {
      class: qubeClass,
      name: options.name,
      label: options.label,
      template: argument === '' ? defaultTemplate(host, qubeClass) : template,
      // `pool=` never moves a kernel volume: it stays in the pool of the kernels.
      pools: (volume) =>
        options.pools.get(volume) ?? (volume === 'kernel' ? undefined : (options.pool ?? undefined)),
    },
    source.name,
  );
  return undefined;
}

/** `name=N label=L [pool=P | pool:VOLUME=P …]`, separated by single spaces. */
function parseOptions(host: HostState, untrusted_text: string, allowPool: boolean): Options {
  let name: string | null = null;
  let label: string | null = null;
  let pool: string | null = null;
  let badPool: ApiError | null = null;
  const pools = new Map<string, string>();
  const lookUp = (untrusted_pool: string): string => {
    if (!host.storage.pools.has(untrusted_pool))
      badPool = errors.exception(`Unknown storage pool ${untrusted_pool}`);
    return untrusted_pool;
  };
  for (const untrusted_option of untrusted_text.split(' ')) {
    const equals = untrusted_option.indexOf('=');
    if (equals < 0) throw new NoReply('an option without a value');
    const key = untrusted_option.slice(0, equals);
    const untrusted_value = untrusted_option.slice(equals + 1);
    if ((key === 'name' && name !== null) || (key === 'label' && label !== null)) {
      throw errors.protocol('Options must be unique');
    }
    if (key === 'name') {
      validateName(untrusted_value, host.api);
      name = untrusted_value;
    } else if (key === 'label') label = labelOf(host, untrusted_value);
    else if (key === 'pool' && allowPool) {
      if (pool !== null) throw errors.protocol("Option 'pool' must be unique");
      pool = lookUp(untrusted_value);
    } else if (key.startsWith('pool:') && allowPool) {
      const volume = key.slice('pool:'.length);
      if (!VOLUMES.includes(volume as VolumeName)) {
        throw errors.protocol(`Volume must be one of: ${VOLUMES.join(', ')}`);
      }
      if (pools.has(volume)) throw errors.protocol(`Option 'pool:${volume}' must be unique`);
      pools.set(volume, lookUp(untrusted_value));
    } else if (key === 'pool' || key.startsWith('pool:')) {
      throw errors.protocol("Pool option specified but 'allow_pool' is False");
    } else throw errors.protocol('Options does not match: name, label, pool, pool:');
  }
  return { name, label, pool, pools, badPool };
}

/** Since 4.4, a missing label counts as no label. */
function labelOf(host: HostState, untrusted_label: string): string | null {
  validateLabelName(untrusted_label, true);
  const found = host.labels.find(
    ({ name, index }) => name === untrusted_label || String(index) === untrusted_label,
  );
  if (found !== undefined) return found.name;
  if (host.since('4.4')) return null;
  throw errors.noLabel(untrusted_label);
}

async function disposable({ host, source, dest, argument, payload }: Call): Promise<string | undefined> {
  const preload = argument === 'preload' && host.since('4.3');
  if (argument !== '' && !preload) throw errors.denied(`Argument not in "'', 'preload'"`);
  const wanted = textOf(payload);
  if (wanted !== '' && !(wanted === 'uuid' && host.since('4.3'))) {
    const word = "expected the empty string or 'uuid'";
    throw host.since('4.4')
      ? errors.protocol("Invalid payload, expected empty string or 'uuid'")
      : errors.value(`Invalid payload for admin.vm.CreateDisposable: ${word}`);
  }
  const template = dest.class === 'AdminVM' ? host.related(source, 'default_dispvm') : dest;
  if (preload) {
    if (template === null) throw new NoReply('no template to preload from');
    await refill(host, template, { reason: 'autostart was requested' });
    return undefined;
  }
  const qube = await createDisposable(host, template, source.name);
  return wanted === 'uuid' ? `uuid:${qube.uuid}` : qube.name;
}
