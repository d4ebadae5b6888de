import { errors } from '../errors.js';
import type { HostState } from '../state.js';
import { disposableTemplate } from './checks.js';
import { type Property, property } from './definition.js';

const forbidden = { access: 'forbidden' } as const;
const pool: NonNullable<Property<null>['check']> = (host, _holder, value) => {
  if (!host.storage.pools.has(String(value))) throw errors.propertyValue('No such storage pool');
  return value;
};
const defaultPool = (host: HostState) => host.global('default_pool');
/** Qubes without a netvm of their own would get this one; no qube may thereby become its own netvm. */
const unlooped: NonNullable<Property<null>['check']> = (host, _holder, value) => {
  for (const qube of host.qubes()) {
    if (qube.set.has('netvm') || host.propertyOrUndefined(qube, 'netvm') === undefined) continue;
    const seen = new Set<string>();
    for (let at = value as string | null; at !== null && !seen.has(at); ) {
      if (at === qube.name) throw errors.propertyValue(`Network loop on '${qube.name}'`);
      seen.add(at);
      at = host.related(host.domain(at), 'netvm')?.name ?? null;
    }
  }
  return value;
};

function global(name: string, type: Property['type'], help: string, row: Partial<Property<null>> = {}) {
  return property<null>(name, type, help, { late: false, noneable: type === 'vm', ...row });
}

/** The properties of the host itself (`qubes-prefs`). */
export const GLOBAL_PROPERTIES: readonly Property<null>[] = [
  global('check_updates_vm', 'bool', 'Check for updates inside qubes', { default: () => true }),
  global('clockvm', 'vm', 'Which VM to use as NTP proxy for updating AdminVM', { default: () => null }),
  global('default_audiovm', 'vm', 'Default AudioVM for VMs.', { default: () => 'dom0' }),
  global('default_dispvm', 'vm', 'Default DispVM base for service calls', {
    default: () => null,
    check: disposableTemplate<null>,
  }),
  global('default_guivm', 'vm', 'Default GuiVM for VMs.', { default: () => 'dom0' }),
  global('default_kernel', 'str', 'Which kernel to use when not overriden in VM', {}),
  global(
    'default_netvm',
    'vm',
    'Default NetVM for AppVMs. Initial state is `None`, which means that AppVMs are not connected to the Internet.',
    {
      default: () => null,
      check: unlooped,
    },
  ),
  global('default_pool', 'str', 'Default storage pool', { default: () => 'varlibqubes', check: pool }),
  global('default_pool_kernel', 'str', 'Default storage pool for kernel volumes', {
    default: defaultPool,
    check: pool,
  }),
  global('default_pool_private', 'str', 'Default storage pool for private volumes', {
    default: defaultPool,
    check: pool,
  }),
  global('default_pool_root', 'str', 'Default storage pool for root volumes', {
    default: defaultPool,
    check: pool,
  }),
  global('default_pool_volatile', 'str', 'Default storage pool for volatile volumes', {
    default: defaultPool,
    check: pool,
  }),
  global(
    'default_qrexec_timeout',
    'int',
    'Default time in seconds after which qrexec connection attempt is deemed failed',
    {
      default: () => 60,
    },
  ),
  global('default_shutdown_timeout', 'int', 'Default time in seconds for VM shutdown to complete', {
    default: () => 60,
  }),
  global('default_template', 'vm', 'Default template for new AppVMs', { target: 'TemplateVM' }),
  global('management_dispvm', 'vm', 'Default DispVM base for managing VMs', {
    default: () => null,
    check: disposableTemplate<null>,
  }),
  global('maxmem', 'int', 'Total amount of memory of the machine', {
    ...forbidden,
    default: (host) => host.machine.memory,
    since: '4.4',
  }),
  global('no_cpus', 'int', 'Number of processors of the machine', {
    ...forbidden,
    default: (host) => host.machine.cpus,
    since: '4.4',
  }),
  global('stats_interval', 'int', 'Interval in seconds for VM stats reporting (memory, CPU usage)', {
    default: () => 3,
  }),
  global('updatevm', 'vm', 'Which VM to use as `yum` proxy for updating AdminVM and TemplateVMs', {
    default: () => null,
  }),
];
