/**
 * Whether a qube can reach a destination: follows the chain of network qubes to the outside. The rules of a qube are applied by the
 * network qube that it is connected to, or by nobody: a hop counts only if a firewall runs there.
 */
import { type Packet, parseRule, passes } from './firewall.js';
import { addressOf, familyOf, resolves } from './internet.js';

/** The data about a qube that the walk needs. */
export interface NetworkQube {
  readonly name: string;
  readonly state: string;
  readonly netvm: string | null;
  readonly providesNetwork: boolean;
  /** The rules that its network qube has applied, in the Admin API's line format; null if it has applied none yet. */
  readonly firewall: readonly string[] | null;
  /** Whether a firewall runs in it, which applies the rules of the qubes that are connected to it. */
  readonly appliesRules: boolean;
  /** Whether it sends what comes from the qubes that are connected to it through Tor. */
  readonly tor: boolean;
  /** Whether it has an IPv6 address. */
  readonly ipv6: boolean;
}

export interface Destination {
  /** A name, or an address. */
  readonly host: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}

export type Reach =
  /** `seen`: the qube whose address the destination sees, or Tor. */
  | { readonly reached: true; readonly address: string; readonly seen: string }
  /** `unresolved`: the name could not be looked up; `unreachable`: no way out; `blocked`: a rule drops it. */
  | { readonly reached: false; readonly why: 'unresolved' | 'unreachable' | 'blocked'; readonly at: string };

/** The DNS servers of every qube: the addresses that Qubes gives. */
const DNS: Packet = { host: '10.139.1.1', address: '10.139.1.1', port: 53, protocol: 'udp', dns: true };
/** A relay of Tor, and what a Tor client sends there. */
const RELAY: Packet = {
  host: 'relay.tor.example',
  address: addressOf('relay.tor.example'),
  port: 9001,
  protocol: 'tcp',
  dns: false,
};
export const TOR = 'tor';

/** `now` is seconds since the epoch: rules can expire. */
export function reach(
  qubeOf: (name: string) => NetworkQube | undefined,
  from: string,
  { host, port, protocol }: Destination,
  now: number,
): Reach {
  const chain = chainOf(qubeOf, from);
  const last = chain.at(-1)!;
  const literal = familyOf(host) !== undefined;
  const whole = last.netvm === null && chain.slice(1).every(carries);
  // The qube with the network card is connected to none.
  if (
    (chain.length < 2 && !last.providesNetwork) ||
    !whole ||
    (familyOf(host) === 6 && !chain.every(({ ipv6 }) => ipv6))
  )
    return { reached: false, why: 'unreachable', at: last.name };

  if (!literal) {
    const dnsFailure = stop(chain, DNS, now);
    if (dnsFailure !== undefined) return { reached: false, why: 'unresolved', at: dnsFailure.name };
    if (!resolves(host)) return { reached: false, why: 'unresolved', at: last.name };
  }
  const address = literal ? host : addressOf(host);
  const blocker = stop(chain, { host, address, port, protocol, dns: false }, now);
  if (blocker !== undefined) return { reached: false, why: 'blocked', at: blocker.name };
  return { reached: true, address, seen: chain.slice(1).some(({ tor }) => tor) ? TOR : last.name };
}

/** The qube whose rules drop a packet on its way along the chain. */
function stop(chain: readonly NetworkQube[], packet: Packet, now: number): NetworkQube | undefined {
  let sent = packet;
  for (const [at, qube] of chain.entries()) {
    const gateway = chain[at + 1];
    if (gateway === undefined) return undefined;
    if (gateway.tor) {
      // It answers questions for addresses itself, carries tcp, and nothing else.
      if (sent.protocol !== 'tcp' && !sent.dns) return qube;
      sent = RELAY;
    } else if (gateway.appliesRules && !accepts(qube.firewall, sent, now)) return qube;
  }
  return undefined;
}

/** Before its rules are applied, and if a name in them cannot be resolved, everything from a qube is dropped. */
const accepts = (firewall: readonly string[] | null, packet: Packet, now: number): boolean => {
  const rules = firewall?.map(parseRule) ?? [];
  const names = rules.flatMap(({ parts }) => parts.get('dsthost') ?? []);
  return names.every(resolves) && passes(rules, packet, now);
};

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
