import type { Qube } from '../host/qube.js';
import type { HostState } from '../host/state.js';

/** Memory in KiB, processor time in nanoseconds. */
export function memoryOf(host: HostState, qube: Qube): { used: number; total: number; cpuTime: number } {
  if (qube.class === 'AdminVM') {
    const used = host.machine.dom0 * 1024;
    return { used, total: used, cpuTime: Math.round(host.now() % 1e6) * 1_000_000 };
  }
  if (qube.class === 'RemoteVM' || !qube.running) return { used: 0, total: 0, cpuTime: 0 };
  const most = Number(host.property(qube, 'maxmem') || host.property(qube, 'memory')) * 1024;
  const used = host.since('4.4') ? Number(host.property(qube, 'memory')) * 1024 : most;
  return { used, total: most, cpuTime: seconds(host, qube) * 1_000_000_000 };
}

function seconds(host: HostState, qube: Qube): number {
  return Math.max(1, Math.round(host.now() - (qube.startTime ?? host.now())));
}

/** The values of one running qube, as in one `vm-stats` event. */
export function statsOf(host: HostState, qube: Qube): [string, string][] {
  const memory = memoryOf(host, qube);
  const used = qube.class === 'AdminVM' ? memory.used : Number(host.property(qube, 'memory')) * 1024;
  const cpu = String(Math.round(memory.cpuTime / 1_000_000));
  if (!host.since('4.4')) {
    return [
      ['memory_kb', String(used)],
      ['cpu_time', cpu],
      ['cpu_usage', '0'],
      ['cpu_usage_raw', '0'],
    ];
  }
  const cpus = qube.class === 'AdminVM' ? host.machine.cpus : host.property(qube, 'vcpus');
  return [
    ['memory_kb', String(used)],
    ['memory_assigned_total', String(memory.total)],
    ['memory_assigned_usable', String(used)],
    ['memory_with_swap_used', String(used)],
    ['cpu_time', cpu],
    ['cpu_usage', '0'],
    ['online_vcpus', String(cpus)],
  ];
}
