import { ApiError, errors, NoReply } from '../../host/errors.js';
import { DRIVERS, type Pool } from '../../host/pools.js';
import type { HostState } from '../../host/state.js';
import { type Call, isAscii, lines, method, textOf } from '../method.js';
import { boolOf, numberOf } from './volume.js';

const onDom0 = { dom0: true } as const;
const one = { arg: true, dom0: true } as const;
const change = { arg: true, payload: true, dom0: true } as const;

export const POOL_METHODS = [
  method('admin.pool.List', onDom0, ({ host }) => lines(host.storage.pools.keys())),
  method('admin.pool.ListDrivers', onDom0, () =>
    lines(Object.entries(DRIVERS).map(([driver, { options }]) => `${driver} ${options.join(' ')}`)),
  ),
  method('admin.pool.Info', one, (call) => {
    const pool = poolOf(call);
    const parent = parentOf(call.host, pool);
    return lines([
      ...[...configOf(pool)].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${value}`),
      ...(pool.size === null ? [] : [`size=${pool.size}`]),
      ...(pool.usage === null ? [] : [`usage=${pool.usage}`]),
      ...(parent === null ? [] : [`included_in=${parent.name}`]),
    ]);
  }),
  method('admin.pool.UsageDetails', one, (call) => {
    const pool = poolOf(call);
    return lines([
      ...(pool.size === null ? [] : [`data_size=${pool.size}`]),
      ...(pool.usage === null ? [] : [`data_usage=${pool.usage}`]),
    ]);
  }),
  method('admin.pool.volume.List', one, (call) => {
    const pool = poolOf(call);
    const vids: string[] = [];
    for (const qube of call.host.qubes()) {
      for (const volume of qube.volumes.values()) if (volume.pool === pool.name) vids.push(volume.vid);
    }
    return lines(new Set(vids));
  }),
  method('admin.pool.Add', change, add),
  method('admin.pool.Remove', one, removePool),
  method('admin.pool.Set.revisions_to_keep', change, (call) => {
    const pool = poolOf(call);
    const count = numberOf(textOf(call.payload), 'revisions to keep', true);
    if (count < -1) throw errors.protocol("Value can't be lower than -1");
    pool.options.set('revisions_to_keep', String(count));
    return undefined;
  }),
  method('admin.pool.Set.ephemeral_volatile', change, (call) => {
    const value = boolOf(call.payload);
    poolOf(call).options.set('ephemeral_volatile', value ? 'True' : 'False');
    return undefined;
  }),
];

function poolOf({ host, argument }: Call): Pool {
  const pool = host.storage.pools.get(argument);
  if (pool === undefined) throw errors.denied("Argument not in 'pools'");
  return pool;
}

function configOf(pool: Pool): Map<string, string> {
  const config = new Map<string, string>([
    ['name', pool.name],
    ['driver', pool.driver],
  ]);
  if (pool.driver !== 'linux-kernel') {
    config.set('ephemeral_volatile', 'False');
    config.set('revisions_to_keep', '1');
  }
  for (const [key, value] of pool.options) config.set(key, value);
  return config;
}

/** A pool in a directory belongs to the pool whose directory contains it. */
function parentOf(host: HostState, pool: Pool): Pool | null {
  const dir = pool.options.get('dir_path');
  if (dir === undefined) return null;
  for (const other of host.storage.pools.values()) {
    const around = other.options.get('dir_path');
    if (other !== pool && around !== undefined && dir.startsWith(`${around}/`)) return other;
  }
  return null;
}

function add({ host, argument: driver, payload }: Call): undefined {
  const form = DRIVERS[driver];
  if (form === undefined) {
    throw host.since('4.4')
      ? errors.denied("Argument not in 'available drivers'")
      : errors.exception(`unexpected driver name: ${driver}`);
  }
  if (!isAscii(payload)) throw errors.protocol('Pool parameters contains non-ASCII characters');
  const untrusted_lines = textOf(payload).split('\n');
  if (untrusted_lines.at(-1) === '') untrusted_lines.pop();
  const options = new Map<string, string>();
  for (const line of untrusted_lines) {
    const equals = line.indexOf('=');
    if (equals < 0) throw errors.protocol('Options must be separated by equal sign');
    if (options.has(line.slice(0, equals))) throw errors.protocol('Options must be unique');
    options.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const name = options.get('name');
  if (name === undefined) throw errors.protocol('Pool configuration must contain key: name');
  if (!/^[A-Za-z0-9_.-]*$/.test(name)) throw errors.protocol('Pool name must be in safe set');
  options.delete('name');
  const unexpected = [...options.keys()].filter((key) => !form.options.includes(key));
  if (unexpected.length > 0) {
    throw host.since('4.4')
      ? errors.protocol('Unexpected driver options found')
      : errors.exception(`unexpected driver options: ${unexpected.join(' ')}`);
  }
  const missing = form.required.filter((key) => !options.has(key));
  if (missing.length > 0) throw errors.exception(`missing required driver options: ${missing.join(' ')}`);
  if (host.storage.pools.has(name)) {
    throw host.since('4.4') ? errors.poolInUse(name) : new NoReply(`pool ${name} exists`);
  }
  const around = [...host.storage.pools.values()].find(({ driver: other }) => other === 'file-reflink');
  host.storage.pools.set(name, {
    name,
    driver,
    options,
    size: around?.size ?? null,
    usage: around?.usage ?? null,
  });
  host.fire(null, 'pool-add', { pool: name });
  return undefined;
}

/** While a qube without volumes exists, the daemon fails here and sends an empty reply. */
function removePool(call: Call): undefined {
  const { host } = call;
  const pool = poolOf(call);
  const qubes = [...host.qubes()];
  if (qubes.some((qube) => qube.class === 'RemoteVM')) throw new NoReply('a qube without volumes');
  if (qubes.some((qube) => [...qube.volumes.values()].some((volume) => volume.pool === pool.name))) {
    throw errors.poolInUse(pool.name);
  }
  for (const suffix of ['', '_kernel', '_private', '_root', '_volatile']) {
    if (host.global(`default_pool${suffix}`) === pool.name) {
      throw new ApiError('QubesPoolInUseError', `Storage pool is in use: set as default_pool${suffix}`);
    }
  }
  host.announce(null, 'pool-pre-delete', { pool: pool.name });
  host.storage.pools.delete(pool.name);
  host.fire(null, 'pool-delete', { pool: pool.name });
  return undefined;
}
