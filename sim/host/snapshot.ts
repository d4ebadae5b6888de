import { powerState } from './power.js';
import { listProperties, read } from './properties/access.js';
import { displayValue } from './properties/serialize.js';
import type { Qube } from './qube.js';
import type { HostState } from './state.js';
import { diskOf } from './storage.js';

/** The actual state of the host, as data. */
export type HostSnapshot = ReturnType<typeof snapshotOf>;

export function snapshotOf(host: HostState) {
  return {
    qubes: host.sorted().map((qube) => {
      const properties: Record<string, string> = {};
      for (const { name } of listProperties(host, qube)) {
        properties[name] = displayValue(read(host, qube, name) ?? null);
      }
      return {
        name: qube.name,
        class: qube.class,
        state: powerState(host, qube),
        tags: [...qube.tags].sort(),
        features: Object.fromEntries(qube.features),
        properties,
        firewall: [...qube.firewall],
        disk: diskOf(qube),
        attached: attachedTo(qube),
      };
    }),
  };
}

function attachedTo({ devices }: Qube) {
  return [...devices.attached].flatMap(([devclass, list]) =>
    list.map(({ device }) => ({ devclass, backend: device.backend.name, port: device.port })),
  );
}
