/**
 * Whether a qube can reach a destination: follows the chain of network qubes to the outside. A qube's own firewall rules are
 * enforced by its network qube, so the rules of every qube in the chain that has one count.
 */
import { type Packet, parseRule, passes } from './firewall.js';
import { addressOf } from './internet.js';

/** The data about a qube that the walk needs. */
export interface NetworkQube {
  readonly name: string;
  readonly state: string;
  readonly netvm: string | null;
  readonly providesNetwork: boolean;
  /** Rules in the Admin API's line format. */
  readonly firewall: readonly string[];
}

export interface Destination {
  /** A name, or an IPv4 address. */
  readonly host: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}

export type Reach =
  | { readonly reached: true; readonly address: string }
  /** `unresolved`: the name could not be looked up; `unreachable`: no way out; `blocked`: a rule drops it. */
  | { readonly reached: false; readonly why: 'unresolved' | 'unreachable' | 'blocked'; readonly at: string };

/** The DNS servers of every qube: the addresses that Qubes gives. */
const DNS: Packet = { host: '10.139.1.1', address: '10.139.1.1', port: 53, protocol: 'udp', dns: true };

/** `now` is seconds since the epoch: rules can expire. */
export function reach(
  qubeOf: (name: string) => NetworkQube | undefined,
  from: string,
  { host, port, protocol }: Destination,
  now: number,
): Reach {
  const chain = chainOf(qubeOf, from);
  const last = chain.at(-1)!;
  if (chain.length < 2 || last.netvm !== null || !chain.slice(1).every(carries))
    return { reached: false, why: 'unreachable', at: last.name };

  const stop = (packet: Packet) =>
    chain.find(({ netvm, firewall }) => netvm !== null && !passes(firewall.map(parseRule), packet, now));
  const literal = isAddress(host);
  if (!literal) {
    const dnsFailure = stop(DNS);
    if (dnsFailure !== undefined) return { reached: false, why: 'unresolved', at: dnsFailure.name };
  }
  const address = literal ? host : addressOf(host);
  const blocker = stop({ host, address, port, protocol, dns: false });
  return blocker === undefined
    ? { reached: true, address }
    : { reached: false, why: 'blocked', at: blocker.name };
}

/** The qube, its network qube, and so on; a circle, which qubesd prevents, ends the walk. */
function chainOf(qubeOf: (name: string) => NetworkQube | undefined, from: string): NetworkQube[] {
  const chain: NetworkQube[] = [];
  for (let qube = qubeOf(from); qube !== undefined && !chain.includes(qube); ) {
    chain.push(qube);
    const next: string | null = qube.netvm;
    if (next === null || chain.some(({ name }) => name === next)) break;
    qube = qubeOf(next);
  }
  return chain;
}

const carries = ({ state, providesNetwork }: NetworkQube): boolean => state === 'Running' && providesNetwork;

export const isAddress = (host: string): boolean => /^\d{1,3}(\.\d{1,3}){3}$/.test(host);
