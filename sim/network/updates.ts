/**
 * How packages come into a qube: a template has no network, and asks the proxy for updates in another qube, which filters nothing; any
 * other qube uses its own network.
 */
import type { CallOut } from '../guests/outside.js';
import type { Host } from '../host/host.js';
import { addressOf } from './internet.js';
import type { Network } from './network.js';
import type { Destination, Reach } from './reach.js';

export const UPDATES = 'qubes.UpdatesProxy';
const ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';

type CallFrom = (source: string, target: string, service: string, stdin: Uint8Array) => Promise<CallOut>;

/** Whether the package manager of a qube reaches a mirror. */
export async function reachUpdates(
  host: Host,
  network: Network,
  call: CallFrom,
  from: string,
  destination: Destination,
): Promise<Reach> {
  const qube = host.qube(from);
  const setup = qube?.features.get('service.updates-proxy-setup');
  if (!(setup ?? qube?.class === 'TemplateVM')) return network.reach(from, destination);
  const asked = `CONNECT ${destination.host}:${destination.port} HTTP/1.1\r\n\r\n`;
  const { stdout } = await call(from, '@default', UPDATES, Buffer.from(asked));
  return Buffer.from(stdout).toString() === ESTABLISHED
    ? { reached: true, address: addressOf(destination.host), seen: 'the proxy for updates' }
    : { reached: false, why: 'unreachable', at: from };
}

/** The answer of the proxy in a qube to a request; empty when none runs there, or when it does not get through. */
export function answerUpdates(host: Host, network: Network, name: string, request: string): string {
  const qube = host.qube(name);
  // It runs where the network card is, unless somebody says otherwise.
  const card = qube?.property('provides_network') === true && qube.netvm === null;
  const [, to, port] = /^CONNECT ([^\s:]+):(\d+) /.exec(request) ?? [];
  if (!(qube?.features.get('service.qubes-updates-proxy') ?? card) || to === undefined) return '';
  const { reached } = network.reach(name, { host: to, port: Number(port), protocol: 'tcp' });
  return reached ? ESTABLISHED : '';
}
