import { errors, repr } from './errors.js';
import { inTurn } from './power.js';
import { listProperties } from './properties/access.js';
import type { Qube } from './qube.js';
import type { HostState } from './state.js';

/** Removes a qube from the host, unless something needs it. The announcement is sent even if the removal is then refused. */
export function remove(host: HostState, qube: Qube): Promise<void> {
  if (qube.class === 'AdminVM') throw errors.inUse("'dom0' cannot be removed");
  return inTurn(qube, async () => {
    if (host.property(qube, 'installed_by_rpm') === true) {
      throw errors.inUse(`VM installed by package manager: ${qube.name}`);
    }
    await removeHalted(host, qube);
  });
}

export async function removeHalted(host: HostState, qube: Qube): Promise<void> {
  if (host.find(qube.name) !== qube) throw errors.noDomain(qube.name);
  if (!qube.halted) throw errors.notHalted(qube.name);
  host.announce(null, 'domain-pre-delete', { vm: qube.name });
  refuseIfNeeded(host, qube);
  host.deregister(qube);
  host.fire(null, 'domain-delete', { vm: qube.name });
  await host.powered(qube.name, 'removed');
}

function refuseIfNeeded(host: HostState, qube: Qube): void {
  if (systemUses(host, qube).length > 0 || qubeUses(host, qube).length > 0) {
    const gap = host.since('4.3') ? '  ' : '';
    throw errors.inUse(
      `Domain is in use: ${repr(qube.name)};${gap}see 'journalctl -u qubesd -e' in dom0 for details`,
    );
  }
  const ports: string[] = [];
  for (const other of host.qubes()) {
    for (const list of other.devices.assigned.values()) {
      for (const assignment of list) if (assignment.backend === qube.name) ports.push(assignment.port);
    }
  }
  if (ports.length > 0) {
    const how = host.since('4.3') ? 'assigned' : 'attached persistently';
    throw errors.inUse(`VM has devices ${how} to other VMs: ${ports.join(', ')}`);
  }
}

/** Global properties that name the qube, by default or not. */
export function systemUses(host: HostState, qube: Qube, among?: readonly string[]): string[] {
  return listProperties(host, null)
    .filter(
      ({ type, name }) => type === 'vm' && (among?.includes(name) ?? true) && host.global(name) === qube.name,
    )
    .map(({ name }) => name);
}

/** Settings of other qubes that name it. A preloaded disposable does not keep its template. */
export function qubeUses(
  host: HostState,
  qube: Qube,
  among?: readonly string[],
): { by: Qube; property: string }[] {
  const uses: { by: Qube; property: string }[] = [];
  for (const other of host.qubes()) {
    if (other === qube) continue;
    for (const [name, value] of other.set) {
      if (value !== qube.name || !QUBE_VALUED.has(name) || !(among?.includes(name) ?? true)) continue;
      if (name === 'template' && host.property(other, 'is_preload') === true) continue;
      uses.push({ by: other, property: name });
    }
  }
  return uses;
}

const QUBE_VALUED: ReadonlySet<string> = new Set([
  'audiovm',
  'default_dispvm',
  'guivm',
  'management_dispvm',
  'netvm',
  'relayvm',
  'template',
]);
