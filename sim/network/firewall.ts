/** Firewall rules as the Admin API writes them: `action=accept dst4=10.0.0.0/8 proto=tcp dstports=80-80`. */
import { networkOf } from '../../core/api/index.js';
import { addressOf, familyOf } from './internet.js';

export interface Packet {
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  /** A question to the name servers of every qube. */
  readonly dns: boolean;
}

export interface FirewallRule {
  readonly accept: boolean;
  /** Every part must match; a rule without parts matches everything. */
  readonly parts: ReadonlyMap<string, string>;
}

export function parseRule(line: string): FirewallRule {
  const parts = new Map<string, string>();
  // A comment is the rest of the line, including spaces.
  for (const part of line.replace(/(^| )comment=.*$/, '').split(' ')) {
    const equals = part.indexOf('=');
    if (equals > 0) parts.set(part.slice(0, equals), part.slice(equals + 1));
  }
  const accept = parts.get('action') === 'accept';
  parts.delete('action');
  return { accept, parts };
}

/** The first match decides; a packet that no rule matches is dropped. */
export function passes(rules: readonly FirewallRule[], packet: Packet, now: number): boolean {
  const rule = rules.find(({ parts }) =>
    [...parts].every(([key, value]) => MATCHES[key]?.(value, packet, now) === true),
  );
  return rule?.accept === true;
}

type Match = (value: string, packet: Packet, now: number) => boolean;

const MATCHES: Readonly<Record<string, Match>> = {
  dst4: (cidr, { address }) => isWithin(address, cidr),
  dst6: (cidr, { address }) => isWithin(address, cidr),
  dsthost: (host, { host: asked, address }) => host === asked || addressOf(host) === address,
  proto: (protocol, packet) => protocol === packet.protocol,
  dstports: (range, { port, protocol }) => {
    const [low, high] = range.split('-').map(Number);
    return protocol !== 'icmp' && low! <= port && port <= (high ?? low)!;
  },
  icmptype: (_, { protocol }) => protocol === 'icmp',
  specialtarget: (target, { dns }) => target === 'dns' && dns,
  expire: (until, _, now) => now < Number(until),
};

/** Of its own version only: a network of IPv4 has no address of IPv6. */
function isWithin(address: string, cidr: string): boolean {
  const [around, within] = [networkOf(cidr), networkOf(address)];
  if (around === undefined || within === undefined || around.version !== within.version) return false;
  const rest = BigInt((familyOf(address) === 6 ? 128 : 32) - around.prefix);
  return around.address >> rest === within.address >> rest;
}
