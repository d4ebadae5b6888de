import { attachAssigned } from './assign.js';
import { devicesOf, nameOf } from './devices.js';
import { ApiError, errors, NoReply } from './errors.js';
import { findFeature } from './features.js';
import { releaseDevices } from './plug.js';
import type { Qube } from './qube.js';
import type { HostState } from './state.js';
import { settleVolumes, startVolumes } from './storage.js';

/** The states the Admin API reports. A domain whose qrexec has not answered yet is in transition. */
export function powerState(host: HostState, qube: Qube): string {
  if (qube.class === 'AdminVM' || qube.class === 'RemoteVM') return 'Running';
  if (qube.power === 'Running' && !qube.usable && findFeature(host, qube, 'qrexec', 'template'))
    return 'Transient';
  return qube.power;
}

/** Starts and removals of one qube take turns. */
export async function inTurn<T>(qube: Qube, act: () => Promise<T>): Promise<T> {
  const before = qube.startup;
  let done: () => void = () => {};
  qube.startup = new Promise<void>((resolve) => {
    done = resolve;
  });
  await before;
  try {
    return await act();
  } finally {
    done();
  }
}

/** Starts a qube after its netvms. Does nothing to a qube that runs or is paused. */
export function start(host: HostState, qube: Qube, chain: readonly Qube[] = []): Promise<void> {
  if (qube.class === 'AdminVM') {
    throw errors.notHalted(qube.name, 'Cannot start Dom0 fake domain!');
  }
  if (qube.class === 'RemoteVM') throw errors.notHalted(qube.name, 'Cannot start a RemoteVM.');
  // Two netvms that use each other, which defaults can cause, wait for each other forever on a real host.
  if (chain.includes(qube)) throw new NoReply(`${qube.name} is its own netvm`);
  return inTurn(qube, async () => {
    if (host.find(qube.name) !== qube) throw errors.noDomain(qube.name);
    if (!qube.halted) return;
    const prohibited = host.since('4.3') ? qube.features.get('prohibit-start') : undefined;
    if (prohibited) {
      const reason = `Qube start is prohibited. Rationale: ${prohibited}`;
      host.fire(qube, 'domain-start-failed', { reason });
      throw errors.exception(reason);
    }
    host.announce(qube, 'domain-pre-start', { start_guid: true, mem_required: null });
    await failing(host, qube, () => prepare(host, qube, [...chain, qube]));
    await failing(host, qube, () => spawn(host, qube));
    await failing(host, qube, () => boot(host, qube), true);
    host.fire(qube, 'domain-start', { start_guid: true });
    attachAssigned(host, qube);
    await host.settled();
  });
}

/** Runs one phase of a start. Subscribers are told of a failure, and a domain that exists by then is destroyed. */
async function failing(
  host: HostState,
  qube: Qube,
  phase: () => Promise<void>,
  spawned = false,
): Promise<void> {
  try {
    await phase();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    host.fire(qube, 'domain-start-failed', {
      reason: error instanceof StartFailed ? error.reason : error.message,
    });
    if (spawned) await stopped(host, qube);
    throw error;
  }
}

/** Subscribers get the hypervisor's own text; the caller gets it with an explanation around it. */
class StartFailed extends ApiError {
  constructor(readonly reason: string) {
    super(
      'QubesException',
      `Start failed: ${reason}, see /var/log/libvirt/libxl/libxl-driver.log for details`,
    );
  }
}

async function prepare(host: HostState, qube: Qube, chain: readonly Qube[]): Promise<void> {
  for (const [devclass, assignments] of qube.devices.assigned) {
    for (const assignment of assignments) {
      if (assignment.mode === 'required' && devicesOf(host, devclass, assignment).length === 0) {
        const title = devclass.charAt(0).toUpperCase() + devclass.slice(1);
        throw errors.exception(`${title} device ${nameOf(assignment)} not available`);
      }
    }
  }
  host.fire(qube, 'domain-verify-files');
  const netvm = host.related(qube, 'netvm');
  if (netvm?.halted && netvm.class !== 'AdminVM') await start(host, netvm, chain);
  if (host.faults.takeStart(qube.name, 'memory') !== undefined) throw errors.memory(qube.name);
  startVolumes(host, qube);
}

async function spawn(host: HostState, qube: Qube): Promise<void> {
  host.announce(qube, 'domain-pre-spawn', { start_guid: true });
  const failure = host.faults.takeStart(qube.name, 'hypervisor');
  if (failure !== undefined) throw new StartFailed(failure);
  requireMemory(host, qube);
  qube.power = 'Running';
  qube.usable = false;
  qube.xid = host.nextXid();
  qube.startTime = host.now();
  resetRuntime(host, qube);
}

/** libvirt defines no domain that starts with more memory than its most. With devices of the host, its most is what it starts with. */
function requireMemory(host: HostState, qube: Qube): void {
  const hasHardware =
    host.property(qube, 'virt_mode') === 'hvm' && (qube.devices.assigned.get('pci')?.length ?? 0) > 0;
  const most = Number(host.property(qube, 'maxmem'));
  if (!hasHardware && most > 0 && Number(host.property(qube, 'memory')) > most)
    throw new StartFailed(
      'XML error: maximum memory size must be equal or greater than the actual memory size',
    );
}

async function boot(host: HostState, qube: Qube): Promise<void> {
  host.fire(qube, 'domain-spawn', { start_guid: true });
  host.fire(qube, 'domain-qdb-create');
  host.announce(qube, 'domain-pre-unpaused');
  host.fire(qube, 'domain-unpaused');
  const late = host.faults.takeStart(qube.name, 'qrexec') !== undefined;
  const up = late ? false : await host.powered(qube.name, 'started').catch(() => false);
  if (!qube.running)
    throw new ApiError('QubesVMError', 'qubesdb not connected, VM was killed in the meantime');
  if (up === false) {
    throw new ApiError(
      'QubesVMError',
      `Cannot connect to qrexec agent for ${host.property(qube, 'qrexec_timeout')} seconds, see /var/log/xen/console/guest-${qube.name}.log for details`,
    );
  }
  qube.usable = true;
}

function resetRuntime(host: HostState, qube: Qube): void {
  for (const name of ['xid', 'stubdom_xid', 'start_time'])
    host.fire(qube, `property-reset:${name}`, { name });
}

/** The domain has ended, for whatever reason. */
export async function stopped(host: HostState, qube: Qube): Promise<void> {
  if (qube.halted) return;
  qube.power = 'Halted';
  qube.usable = false;
  qube.xid = -1;
  qube.startTime = null;
  settleVolumes(host, qube);
  host.fire(qube, 'domain-stopped');
  resetRuntime(host, qube);
  releaseDevices(host, qube);
  host.fire(qube, 'domain-shutdown');
  await host.powered(qube.name, 'stopped');
  await host.settled();
}

export async function shutdown(host: HostState, qube: Qube, force: boolean, wait: boolean): Promise<void> {
  if (qube.class === 'AdminVM' || qube.class === 'RemoteVM')
    throw new NoReply('there is nothing to shut down');
  if (qube.halted) throw errors.notStarted(qube.name);
  try {
    host.announce(qube, 'domain-pre-shutdown', { force });
    if (
      qube.power === 'Paused' &&
      !force &&
      host.since('4.3') &&
      host.property(qube, 'is_preload') !== true
    ) {
      throw errors.notRunning(qube.name);
    }
    if (qube.power === 'Paused') {
      await stopped(host, qube);
      return;
    }
    const hangs = host.faults.isHung(qube.name);
    const ending = hangs ? never : end(host, qube);
    if (!wait) {
      // Returns at once; it has ended by then only on a host whose qubes need no time to shut down.
      if (hangs) return;
      if (host.timing.shutdown === 0) await ending;
      else host.defer(() => ending);
      return;
    }
    if (qube.waiterCancelled) throw new NoReply('the future to wait for was cancelled before');
    const limit = host.wait(Number(host.property(qube, 'shutdown_timeout'))).then(() => 'late' as const);
    if ((await Promise.race([ending, limit])) === 'late' && qube.running) {
      // The wait was cancelled together with the future that the end of the domain will try to complete.
      qube.waiterCancelled = true;
      throw errors.shutdownTimeout(qube.name);
    }
  } catch (error) {
    if (error instanceof ApiError) host.fire(qube, 'domain-shutdown-failed', { reason: error.message });
    throw error;
  }
}

const never = new Promise<never>(() => {});

async function end(host: HostState, qube: Qube): Promise<void> {
  if (host.timing.shutdown > 0) await host.wait(host.timing.shutdown);
  await stopped(host, qube);
}

/**
 * Destroys the domain. After a shutdown whose wait failed, the domain still ends, but this caller and all later ones wait on a
 * cancelled future and get no reply.
 */
export async function kill(host: HostState, qube: Qube): Promise<void> {
  if (qube.class === 'AdminVM') throw new ApiError('QubesVMError', 'Cannot kill Dom0 fake domain!');
  if (qube.class === 'RemoteVM') throw new ApiError('QubesVMError', 'Cannot kill a RemoteVM.');
  if (qube.halted) throw errors.notStarted(qube.name);
  await stopped(host, qube);
  if (qube.waiterCancelled) throw new NoReply('the future to wait for was cancelled before');
}

export async function pause(host: HostState, qube: Qube): Promise<void> {
  if (qube.class === 'AdminVM' || qube.class === 'RemoteVM') throw new NoReply('there is nothing to pause');
  if (qube.halted) throw errors.notRunning(qube.name);
  if (qube.power === 'Paused') {
    host.announce(qube, 'domain-pre-paused');
    return;
  }
  host.announce(qube, 'domain-pre-paused');
  qube.power = 'Paused';
  host.fire(qube, 'domain-paused');
}

export async function unpause(host: HostState, qube: Qube): Promise<void> {
  if (qube.class === 'AdminVM' || qube.class === 'RemoteVM') throw new NoReply('there is nothing to unpause');
  if (qube.power !== 'Paused') throw errors.notPaused(qube.name);
  host.announce(qube, 'domain-pre-unpaused');
  qube.power = 'Running';
  host.fire(qube, 'domain-unpaused');
  await host.settled();
}

/** Without ACPI sleep, which domains here lack, suspending means to notify the qube and then pause it. */
export async function suspend(host: HostState, qube: Qube): Promise<void> {
  if (qube.class === 'AdminVM') throw new ApiError('QubesVMError', 'Cannot suspend Dom0 fake domain!');
  if (qube.class === 'RemoteVM') throw new ApiError('QubesVMError', 'Cannot suspend a RemoteVM.');
  if (qube.halted) throw errors.notRunning(qube.name);
  if (qube.power === 'Running' && findFeature(host, qube, 'qrexec', 'template')) {
    host.announce(qube, 'domain-cmd-pre-run', { start_guid: false });
  }
  await pause(host, qube);
}
