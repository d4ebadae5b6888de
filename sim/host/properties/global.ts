import { errors, repr } from '../errors.js';
import type { Host } from '../host.js';
import { disposableTemplate } from './checks.js';
import { type Property, property } from './definition.js';

const forbidden = { access: 'forbidden' } as const;
const positive: NonNullable<Property<null>['check']> = (_host, _holder, value, { name }) => {
  if (Number(value) <= 0) throw errors.propertyValue(`${name} must be positive`);
  return value;
};
const pool: NonNullable<Property<null>['check']> = (host, _holder, value) => {
  if (!host.storage.pools.has(String(value))) throw errors.exception(`Unknown storage pool ${value}`);
  return value;
};
const defaultPool = (host: Host) => host.global('default_pool');
const provider: NonNullable<Property<null>['check']> = (host, _holder, value) => {
  const name = value as string;
  if (host.property(host.domain(name), 'provides_network') !== true) {
    throw errors.value(`The ${name} qube does not provide network`);
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
  global('default_kernel', 'str', 'Which kernel to use when not overriden in VM', {
    check: (host, _holder, value) => {
      if (value !== '' && !host.kernels.includes(String(value))) {
        throw errors.propertyValue(`Kernel ${repr(String(value))} not installed`);
      }
      return value;
    },
  }),
  global(
    'default_netvm',
    'vm',
    'Default NetVM for AppVMs. Initial state is `None`, which means that AppVMs are not connected to the Internet.',
    {
      default: () => null,
      check: provider,
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
      check: positive,
    },
  ),
  global('default_shutdown_timeout', 'int', 'Default time in seconds for VM shutdown to complete', {
    default: () => 60,
    check: positive,
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
    check: positive,
  }),
  global('updatevm', 'vm', 'Which VM to use as `yum` proxy for updating AdminVM and TemplateVMs', {
    default: () => null,
  }),
];
