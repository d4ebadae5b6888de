import { ApiError } from '../errors.js';
import type { Events } from '../events.js';
import { read } from '../properties/access.js';
import type { HostState } from '../state.js';
import { retag } from '../tags.js';

/** The tags that name a qube's guivm, audiovm and relayvm. */
export function serverEffects(events: Events<HostState>): void {
  for (const kind of ['guivm', 'audiovm', 'relayvm'] as const) {
    for (const change of ['set', 'reset'] as const) {
      events.react(`property-${change}:${kind}`, (host, qube) => {
        if (qube !== null) retag(host, qube, `${kind}-`, (read(host, qube, kind) ?? null) as string | null);
      });
    }
  }
  for (const [kind, title, type] of [
    ['guivm', 'GuiVM', 'QubesVMError'],
    ['audiovm', 'AudioVM', 'QubesVMInUseError'],
  ] as const) {
    events.react('domain-pre-shutdown', (host, server, { force }) => {
      if (server === null || force === true) return;
      const served = [...host.qubes()].filter(
        (qube) => qube.running && read(host, qube, kind) === server.name,
      );
      if (served.length === 0) return;
      const names = served.map(({ name }) => name).join(', ');
      throw new ApiError(type, `There are running VMs using this VM as ${title}: ${names}`);
    });
  }
  for (const kind of ['guivm', 'audiovm'] as const) {
    events.react(`property-set:default_${kind}`, (host, subject, { newvalue = null, oldvalue = null }) => {
      if (subject !== null) return;
      for (const qube of host.qubes()) {
        if (read(host, qube, kind) === undefined || qube.set.has(kind)) continue;
        host.fire(qube, `property-set:${kind}`, { name: kind, newvalue, oldvalue });
      }
    });
  }
}
