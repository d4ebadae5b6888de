import { powerState } from './power.js';
import type { HostState } from './state.js';

/** One qube as the qrexec policy sees it; the field names are the policy daemon's. */
export interface SystemQube {
  readonly type: string;
  readonly tags: string[];
  readonly power_state: string;
  readonly default_dispvm: string | null;
  readonly template_for_dispvms: boolean;
  readonly uuid: string;
  readonly internal: boolean;
  readonly icon: string;
  readonly guivm: string | null;
  readonly relayvm: string | null;
  readonly transport_rpc: string | null;
}

export type SystemInfo = Record<string, SystemQube>;

export function systemInfo(host: HostState): SystemInfo {
  const info: SystemInfo = {};
  for (const qube of host.sorted()) {
    const text = (name: string): string | null => {
      const value = host.property(qube, name);
      return typeof value === 'string' && value !== '' ? value : null;
    };
    info[qube.name] = {
      type: qube.class,
      tags: [...qube.tags].sort(),
      power_state: powerState(host, qube),
      default_dispvm: text('default_dispvm'),
      template_for_dispvms: host.property(qube, 'template_for_dispvms') === true,
      uuid: qube.uuid,
      internal: Boolean(qube.features.get('internal')),
      icon: String(host.property(qube, 'icon') ?? ''),
      guivm: text('guivm'),
      relayvm: text('relayvm'),
      transport_rpc: text('transport_rpc'),
    };
  }
  return info;
}
