import { findFeature } from '../features.js';
import type { PropertyValue, Qube, QubeClass } from '../qube.js';
import type { HostState } from '../state.js';
import * as check from './checks.js';
import { ALL_LOCAL, type Property, property } from './definition.js';
import { ipv4, ipv6, isNetworked } from './network.js';

type Default = (host: HostState, qube: Qube) => PropertyValue;

const EVERY: readonly QubeClass[] = [...ALL_LOCAL, 'AdminVM', 'RemoteVM'];
const forbidden = { access: 'forbidden' } as const;
const flag = { default: () => false } as const;

/** A qube based on a template has the template's value, unless it has its own. */
function fromTemplate(name: string, otherwise: Default): Default {
  return (host, qube) => {
    const template = host.related(qube, 'template');
    return template === null ? otherwise(host, qube) : host.property(template, name);
  };
}

function icon(host: HostState, qube: Qube): PropertyValue {
  const label = host.property(qube, 'label');
  if (label === null) return null;
  if (qube.class === 'AdminVM') return `adminvm-${label}`;
  if (qube.class === 'TemplateVM') return `templatevm-${label}`;
  if (qube.class === 'AppVM' && host.property(qube, 'template_for_dispvms') === true)
    return `templatevm-${label}`;
  if (qube.features.get('servicevm')) return `servicevm-${label}`;
  return `${qube.class.toLowerCase()}-${label}`;
}

/** Memory is balanced unless the qube has its own hardware, or shows no sign of the tools that balancing needs. */
function isBalanced(host: HostState, qube: Qube): boolean {
  if ((qube.devices.assigned.get('pci')?.length ?? 0) > 0) return false;
  if (host.property(qube, 'virt_mode') !== 'hvm') return true;
  if (!findFeature(host, qube, 'qrexec', 'template')) return false;
  const announces = (at: Qube | null): boolean =>
    at !== null &&
    ([...at.features.keys()].some((name) => name.startsWith('supported-service.')) ||
      announces(host.related(at, 'template')));
  return !announces(qube) || Boolean(findFeature(host, qube, 'supported-service.meminfo-writer', 'template'));
}

function defaultMaxmem(host: HostState, qube: Qube): PropertyValue {
  if (!isBalanced(host, qube)) return 0;
  const own = Math.min(
    qube.features.get('os') === 'Linux' ? Number(host.property(qube, 'memory')) * 10 : 4000,
    Math.floor(host.machine.memory / 2),
  );
  return fromTemplate('maxmem', () => own)(host, qube);
}

/** The mode of a boot: the qube's own choice if its template knows it, or else the template's mode for its AppVMs. */
function bootmode(host: HostState, qube: Qube): PropertyValue {
  const known = (at: Qube, mode: string): boolean =>
    mode === 'default' || findFeature(host, at, `boot-mode.kernelopts.${mode}`, 'template') !== undefined;
  const own = qube.features.get('boot-mode.active');
  if (own !== undefined && known(qube, own)) return own;
  for (let at = host.related(qube, 'template'); at !== null; at = host.related(at, 'template')) {
    if (at.class !== 'TemplateVM') continue;
    const mode = String(host.property(at, 'appvm_default_bootmode'));
    if (known(at, mode)) return mode;
  }
  return 'default';
}

/** The layout of the qube's guivm. For a qube that is its own guivm, the daemon would loop forever. */
function keyboardLayout(host: HostState, qube: Qube): PropertyValue {
  const seen = new Set([qube]);
  for (let at = host.related(qube, 'guivm'); at !== null && !seen.has(at); at = host.related(at, 'guivm')) {
    const own = at.set.get('keyboard_layout');
    if (own !== undefined) return own;
    seen.add(at);
  }
  return 'us++';
}

function kernelopts(host: HostState, qube: Qube): PropertyValue {
  if (!host.property(qube, 'kernel')) return '';
  if ((qube.devices.assigned.get('pci')?.length ?? 0) > 0) return 'nopat iommu=soft swiotlb=8192';
  return fromTemplate('kernelopts', () => 'swiotlb=2048')(host, qube);
}

/** Every property a qube can have. The order of a listing is by `late`, then by name. */
export const VM_PROPERTIES: readonly Property[] = [
  property(
    'appvm_default_bootmode',
    'str',
    'Default boot mode to be assigned to AppVMs based on this template.',
    {
      classes: ['TemplateVM'],
      default: () => 'default',
      late: true,
      since: '4.3',
    },
  ),
  property('audiovm', 'vm', 'VM used for Audio', {
    default: (host) => host.global('default_audiovm'),
    noneable: true,
  }),
  property('auto_cleanup', 'bool', 'automatically remove this qube upon shutdown', {
    classes: ['DispVM'],
    ...flag,
  }),
  property(
    'autostart',
    'bool',
    'Setting this to `True` means that VM should be autostarted on dom0 boot.',
    flag,
  ),
  property('backup_timestamp', 'int', 'Time of last backup of the qube, in seconds since unix epoch', {
    default: () => null,
  }),
  property('bootmode', 'str', 'Active boot mode for this domain', {
    default: bootmode,
    late: true,
    since: '4.3',
  }),
  property('debug', 'bool', 'Turns on debugging features.', flag),
  property(
    'default_dispvm',
    'vm',
    'Default disposable template to be used for spawning disposable qubes for service calls.',
    {
      classes: [...ALL_LOCAL, 'AdminVM'],
      default: (host, qube) =>
        qube.class === 'DispVM'
          ? (host.related(qube, 'template')?.name ?? null)
          : host.global('default_dispvm'),
      noneable: true,
      check: check.disposableTemplate<Qube>,
    },
  ),
  property(
    'default_user',
    'str',
    "Default user to start applications as. TemplateBasedVMs use its template's value by default.",
    {
      default: fromTemplate('default_user', () => 'user'),
      check: check.user,
    },
  ),
  property(
    'devices_denied',
    'str',
    'List of device interface codes that are denied for this VM. Follows the specification `chhhhhhchhhhhh...`, where c is the type of a device and h are hexadecimal digits.',
    {
      classes: [...ALL_LOCAL, 'AdminVM'],
      default: () => '',
      check: check.deniedList,
      since: '4.3',
    },
  ),
  property('dispid', 'int', 'Internal, persistent identifier of particular disposable.', {
    classes: ['DispVM'],
    access: 'write-once',
    clone: false,
  }),
  property('dns', 'str', 'DNS servers set up for this domain.', {
    ...forbidden,
    default: (host, qube) => (isNetworked(host, qube) ? '10.139.1.1 10.139.1.2' : null),
  }),
  property('gateway', 'str', 'Gateway for other domains that use this domain as netvm.', {
    ...forbidden,
    default: (host, qube) =>
      host.property(qube, 'provides_network') === true ? host.property(qube, 'visible_ip') : null,
  }),
  property('gateway6', 'str', 'Gateway (IPv6) for other domains that use this domain as netvm.', {
    ...forbidden,
    default: (host, qube) =>
      host.property(qube, 'provides_network') === true && findFeature(host, qube, 'ipv6', 'netvm')
        ? host.property(qube, 'visible_ip6')
        : null,
  }),
  property('guivm', 'vm', 'VM used for Gui', {
    default: (host) => host.global('default_guivm'),
    noneable: true,
  }),
  property(
    'icon',
    'str',
    'freedesktop icon name, suitable for use in :py:meth:`PyQt4.QtGui.QIcon.fromTheme`',
    {
      ...forbidden,
      classes: EVERY,
      default: icon,
    },
  ),
  property('include_in_backups', 'bool', 'If this domain is to be included in default backup.', {
    classes: EVERY,
    default: (host, qube) =>
      qube.class === 'DispVM' ? host.property(qube, 'auto_cleanup') !== true : qube.class !== 'RemoteVM',
  }),
  property(
    'installed_by_rpm',
    'bool',
    "If this domain's image was installed from package tracked by package manager.",
    flag,
  ),
  property('ip', 'ip', 'IP address of this domain.', { default: ipv4 }),
  property('ip6', 'ip6', 'IPv6 address of this domain.', { default: ipv6 }),
  property('is_preload', 'bool', 'Check if qube is a preloaded disposable.', {
    ...forbidden,
    classes: ['DispVM'],
    default: (host, qube) =>
      qube.preloadRequested ||
      (host.related(qube, 'template')?.features.get('preload-dispvm') ?? '').split(' ').includes(qube.name),
    since: '4.3',
  }),
  property(
    'kernel',
    'str',
    "Kernel used by this domain. TemplateBasedVMs use its template's value by default.",
    {
      default: fromTemplate('kernel', (host) => host.global('default_kernel')),
      check: check.kernelName,
    },
  ),
  property(
    'kernelopts',
    'str',
    "Kernel command line passed to domain. TemplateBasedVMs use its template's value by default.",
    {
      default: kernelopts,
      check: check.kernelOptions,
      late: true,
    },
  ),
  property('keyboard_layout', 'str', 'Keyboard layout for this VM', {
    classes: [...ALL_LOCAL, 'AdminVM'],
    default: keyboardLayout,
    check: check.keyboardLayout,
  }),
  property('klass', 'str', 'Domain class name', {
    ...forbidden,
    classes: EVERY,
    default: (_host, qube) => qube.class,
  }),
  property(
    'label',
    'label',
    'Colourful label assigned to VM. This is where the colour of the padlock is set.',
    {
      classes: EVERY,
      check: check.label,
    },
  ),
  property('mac', 'str', 'MAC address of the NIC emulated inside VM', {
    default: () => '00:16:3e:5e:6c:00',
    check: check.mac,
  }),
  property(
    'management_dispvm',
    'vm',
    'Default disposable template to be used for spawning disposable qubes for managing this qube.',
    {
      default: fromTemplate('management_dispvm', (host) => host.global('management_dispvm')),
      noneable: true,
      check: check.disposableTemplate<Qube>,
    },
  ),
  property(
    'maxmem',
    'int',
    "Maximum amount of memory available for this VM (for the purpose of the memory balancer). Set to 0 to disable memory balancing for this qube. TemplateBasedVMs use its template's value by default (unless memory balancing not supported for this qube).",
    {
      default: defaultMaxmem,
      check: check.notNegative,
    },
  ),
  property('maxmem', 'int', 'Maximum amount of memory of the AdminVM.', {
    ...forbidden,
    classes: ['AdminVM'],
    default: (host) => host.machine.dom0,
    since: '4.4',
  }),
  property(
    'memory',
    'int',
    "Memory currently available for this VM. TemplateBasedVMs use its template's value by default.",
    {
      default: fromTemplate('memory', () => 400),
      check: check.positive,
    },
  ),
  property('name', 'str', 'User-specified name of the domain.', {
    classes: [...ALL_LOCAL, 'RemoteVM'],
    access: 'write-once',
    clone: false,
  }),
  property('name', 'str', 'User-specified name of the domain.', {
    ...forbidden,
    classes: ['AdminVM'],
    default: () => 'dom0',
  }),
  property(
    'netvm',
    'vm',
    'VM that provides network connection to this domain. When `None`, machine is disconnected. When absent, domain uses default NetVM.',
    {
      default: (host, qube) => (qube.class === 'TemplateVM' ? null : host.global('default_netvm')),
      noneable: true,
      check: check.netvm,
    },
  ),
  property(
    'provides_network',
    'bool',
    'If this domain can act as network provider (formerly known as NetVM or ProxyVM)',
    {
      ...flag,
      check: check.providesNetwork,
    },
  ),
  property(
    'qid',
    'int',
    'Internal, persistent identificator of particular domain. Note this is different from Xen domid.',
    {
      classes: [...ALL_LOCAL, 'RemoteVM'],
      access: 'write-once',
      clone: false,
    },
  ),
  property(
    'qid',
    'int',
    'Internal, persistent identificator of particular domain. Note this is different from Xen domid.',
    {
      ...forbidden,
      classes: ['AdminVM'],
      default: () => 0,
    },
  ),
  property(
    'qrexec_timeout',
    'int',
    'Time in seconds after which qrexec connection attempt is deemed failed. Operating system inside VM should be able to boot in this time.',
    {
      default: fromTemplate('qrexec_timeout', (host) => host.global('default_qrexec_timeout')),
      check: check.positive,
    },
  ),
  property('relayvm', 'vm', 'Local qube used for relaying calls to the RemoteVM', {
    classes: ['RemoteVM'],
    default: () => null,
    noneable: true,
  }),
  property('remote_name', 'str', 'Name of the qube on the remote machine', {
    classes: ['RemoteVM'],
    default: () => null,
  }),
  property(
    'shutdown_timeout',
    'int',
    'Time in seconds for shutdown of the VM, after which VM may be forcefully powered off. Operating system inside VM should be able to fully shutdown in this time.',
    {
      default: fromTemplate('shutdown_timeout', (host) => host.global('default_shutdown_timeout')),
      check: check.positive,
    },
  ),
  property('start_time', 'str', 'Tell when machine was started.', {
    ...forbidden,
    default: (_host, qube) => (qube.startTime === null ? null : String(qube.startTime)),
  }),
  property('stubdom_mem', 'int', 'Memory amount allocated for the stubdom', {
    default: () => null,
    check: check.positive,
  }),
  property('stubdom_uuid', 'str', 'UUID of the domain that emulates devices for this qube.', {
    ...forbidden,
    default: () => '',
    since: '4.3',
  }),
  property('stubdom_xid', 'int', 'Xen ID of the domain that emulates devices for this qube.', {
    ...forbidden,
    default: () => -1,
    computed: true,
  }),
  property('template', 'vm', 'Template, on which this AppVM is based.', {
    classes: ['AppVM'],
    target: 'TemplateVM',
  }),
  property('template', 'vm', 'AppVM, on which this disposable is based.', {
    classes: ['DispVM'],
    check: check.dispvmTemplate,
  }),
  property('template_for_dispvms', 'bool', 'Should this VM be allowed to start as Disposable VM', {
    classes: ['AppVM', 'StandaloneVM'],
    ...flag,
  }),
  property('transport_rpc', 'str', 'qrexec service that carries a call to the remote machine', {
    classes: ['RemoteVM'],
    default: () => null,
  }),
  property('updateable', 'bool', 'True if this machine may be updated on its own.', {
    ...forbidden,
    classes: [...ALL_LOCAL, 'AdminVM'],
    default: (_host, qube) => qube.class !== 'AppVM' && qube.class !== 'DispVM',
  }),
  property('uuid', 'uuid', 'UUID from libvirt.', {
    classes: [...ALL_LOCAL, 'RemoteVM'],
    access: 'write-once',
    clone: false,
  }),
  property('uuid', 'uuid', 'UUID from libvirt.', {
    ...forbidden,
    classes: ['AdminVM'],
    default: (_host, qube) => qube.uuid,
  }),
  property(
    'vcpus',
    'int',
    "Number of virtual CPUs for a qube. TemplateBasedVMs use its template's value by default.",
    {
      default: fromTemplate('vcpus', () => 2),
      check: check.positive,
    },
  ),
  property(
    'virt_mode',
    'str',
    'Virtualisation mode: full virtualisation ("HVM"), or paravirtualisation ("PV"), or hybrid ("PVH"). TemplateBasedVMs use its template\'s value by default.',
    {
      default: (host, qube) =>
        (qube.devices.assigned.get('pci')?.length ?? 0) > 0
          ? 'hvm'
          : fromTemplate('virt_mode', () => 'pvh')(host, qube),
      check: check.virtMode,
    },
  ),
  property('visible_gateway', 'str', 'Default gateway of this domain as seen by the domain.', {
    ...forbidden,
    default: (host, qube) => {
      const netvm = host.related(qube, 'netvm');
      return (
        findFeature(host, qube, 'net.fake-gateway', 'template') ||
        (netvm === null ? null : host.property(netvm, 'gateway'))
      );
    },
  }),
  property('visible_gateway6', 'str', 'Default (IPv6) gateway of this domain as seen by the domain.', {
    ...forbidden,
    default: (host, qube) => {
      const netvm = host.related(qube, 'netvm');
      return netvm !== null && findFeature(host, qube, 'ipv6', 'netvm')
        ? host.property(netvm, 'gateway6')
        : null;
    },
  }),
  property('visible_ip', 'str', 'IP address of this domain as seen by the domain.', {
    ...forbidden,
    default: (host, qube) => findFeature(host, qube, 'net.fake-ip', 'template') || host.property(qube, 'ip'),
  }),
  property('visible_ip6', 'str', 'IPv6 address of this domain as seen by the domain.', {
    ...forbidden,
    default: (host, qube) => host.property(qube, 'ip6'),
  }),
  property('visible_netmask', 'str', 'Netmask as seen by the domain.', {
    ...forbidden,
    default: (host, qube) => {
      const netvm = host.related(qube, 'netvm');
      return (
        findFeature(host, qube, 'net.fake-netmask', 'template') ||
        (netvm !== null && isNetworked(host, netvm) ? '255.255.255.255' : null)
      );
    },
  }),
  property('xid', 'int', 'Xen ID. Or not Xen, but ID.', {
    ...forbidden,
    default: (_host, qube) => qube.xid,
    computed: true,
  }),
];
