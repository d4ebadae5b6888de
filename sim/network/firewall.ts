/** Firewall rules as the Admin API writes them: `action=accept dst4=10.0.0.0/8 proto=tcp dstports=80-80`. */
import { addressOf } from './internet.js';

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
  // No IPv6 here, so a rule about it matches nothing.
  dst6: () => false,
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

function isWithin(address: string, cidr: string): boolean {
  const [network, bits = '32'] = cidr.split('/');
  const mask = bits === '0' ? 0 : (-1 << (32 - Number(bits))) >>> 0;
  return ((numberOf(address) ^ numberOf(network!)) & mask) === 0;
}

const numberOf = (address: string): number =>
  address.split('.').reduce((sum, byte) => ((sum << 8) | Number(byte)) >>> 0, 0);
