import { readFileSync } from 'node:fs';
import { exposed } from '../../host/devices.js';
import type { Host } from '../../host/host.js';
import { deviceOf } from '../../host/populate.js';
import type { DeviceClass } from '../../host/qube.js';
import type { DeviceSpec } from '../../host-spec.js';
import { packageFile } from '../../root.js';
import { type Exchange, partsOf } from './recording.js';

/**
 * A recording has requests and replies, but not what else happened to the machine. If only such a cause can explain a reply, it
 * is repeated here before the request, and only if it lies outside the daemon. Returns the cause, for the report.
 */
export function prepareEnvironment(host: Host, exchange: Exchange): string | null {
  return startFailure(host, exchange) ?? hungShutdown(host, exchange) ?? pluggedIn(host, exchange);
}

function startFailure(host: Host, { request, response }: Exchange): string | null {
  if (partsOf(request).method !== 'admin.vm.Start') return null;
  const memory = /^2\0QubesMemoryError\0\0Not enough memory to start domain '([^']+)'/.exec(response);
  if (memory?.[1] !== undefined) {
    host.faults.failStart(memory[1], 'memory');
    return `no memory for ${memory[1]}`;
  }
  const dest = partsOf(request).dest;
  const hypervisor = /^2\0QubesException\0\0Start failed: (.*), see \/var\/log\/libvirt\//s.exec(response);
  if (hypervisor?.[1] !== undefined) {
    host.faults.failStart(dest, 'hypervisor', { text: hypervisor[1] });
    return `the hypervisor fails to start ${dest}`;
  }
  const qrexec = /^2\0QubesVMError\0\0Cannot connect to qrexec agent .*guest-(.+)\.log/.exec(response);
  if (qrexec?.[1] !== undefined) {
    host.faults.failStart(qrexec[1], 'qrexec');
    return `no qrexec in ${qrexec[1]}`;
  }
  return null;
}

/** A qube that ignores a shutdown ignores it until it is killed. */
function hungShutdown(host: Host, { request, response }: Exchange): string | null {
  const { method, dest } = partsOf(request);
  if (method === 'admin.vm.Kill') host.faults.unhang(dest);
  if (method !== 'admin.vm.Shutdown' || !response.startsWith('2\0QubesVMShutdownTimeoutError\0')) return null;
  host.faults.hangShutdown(dest);
  return `${dest} ignores its shutdown`;
}

type Hardware = Record<string, DeviceSpec[]>;
let hardware: Hardware | undefined;

/** The devices that the recorder's machine could plug in. */
function known(): Hardware {
  hardware ??= JSON.parse(
    readFileSync(packageFile('test', 'recordings', 'hardware.json'), 'utf8'),
  ) as Hardware;
  return hardware;
}

function pluggedIn(host: Host, { request, response }: Exchange): string | null {
  const { method, dest } = partsOf(request);
  const match = /^admin\.vm\.device\.(\w+)\.Available$/.exec(method);
  const backend = host.find(dest);
  if (match === null || backend === undefined || !response.startsWith('0\0') || response.length <= 2) {
    return null;
  }
  const devclass = match[1] as DeviceClass;
  const ports = response
    .slice(2)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.slice(0, line.indexOf(' ')).split(':')[0] as string);
  const present = new Set(exposed(host, backend, devclass).map(({ port }) => port));
  const added = (known()[dest] ?? []).filter(
    (spec) => spec.class === devclass && ports.includes(spec.port) && !present.has(spec.port),
  );
  if (added.length === 0) return null;
  host.plug(...added.map((spec) => deviceOf(backend, spec)));
  return `${added.map(({ port }) => port).join(', ')} plugged into ${dest}`;
}
