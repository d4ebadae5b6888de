import { QUBE_CLASSES } from '../../host/qube.js';
import type { HostState } from '../../host/state.js';
import type { Method } from '../method.js';
import { BACKUP_METHODS } from './backup.js';
import { CREATE_METHODS } from './create.js';
import { DEVICE_METHODS } from './device.js';
import { FEATURE_METHODS } from './feature.js';
import { FIREWALL_METHODS } from './firewall.js';
import { LABEL_METHODS } from './label.js';
import { LIST_METHODS } from './list.js';
import { NOTES_METHODS } from './notes.js';
import { POOL_METHODS } from './pool.js';
import { POWER_METHODS } from './power.js';
import { PROPERTY_METHODS } from './property.js';
import { TAG_METHODS } from './tag.js';
import { VOLUME_METHODS } from './volume.js';

/** Every method with one reply. */
export const METHODS: readonly Method[] = [
  ...LIST_METHODS,
  ...CREATE_METHODS,
  ...PROPERTY_METHODS,
  ...TAG_METHODS,
  ...FEATURE_METHODS,
  ...FIREWALL_METHODS,
  ...VOLUME_METHODS,
  ...POOL_METHODS,
  ...LABEL_METHODS,
  ...DEVICE_METHODS,
  ...POWER_METHODS,
  ...NOTES_METHODS,
  ...BACKUP_METHODS,
];

/** Methods whose reply continues until the caller disconnects. */
export const STREAMS: ReadonlySet<string> = new Set(['admin.Events', 'admin.vm.Stats']);

export type MethodMatch = { readonly method: Method; readonly endpoint: string };
const tables = new Map<string, ReadonlyMap<string, MethodMatch>>();

/** The methods of a host, by full name: `{}` in a row stands for each class of qubes or of devices. */
export function methodsOf(host: HostState): ReadonlyMap<string, MethodMatch> {
  const key = `${host.api} ${host.deviceClasses.join()}`;
  let table = tables.get(key);
  if (table === undefined) {
    const classes = QUBE_CLASSES.filter((qubeClass) => qubeClass !== 'RemoteVM' || host.since('4.3'));
    const found = new Map<string, MethodMatch>();
    for (const method of METHODS) {
      if (!host.since(method.since) || host.api > method.until) continue;
      if (method.endpoints === undefined) found.set(method.name, { method, endpoint: '' });
      else {
        for (const endpoint of method.endpoints === 'classes' ? classes : host.deviceClasses) {
          found.set(method.name.replace('{}', endpoint), { method, endpoint });
        }
      }
    }
    table = found;
    tables.set(key, table);
  }
  return table;
}
