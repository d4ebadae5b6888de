import { covers, invalidAt, isHostName, networkOf, portsOf, type Rule } from '../../core/api/index.js';

/** Packets to a destination, optionally of one protocol and to one port; written like a rule. */
export type Question = Rule;

/**
 * `yes`: one rule allows all of the packets. `partly`: no rule does, and the given rule allows some of them (some ports,
 * protocols or addresses). `unknown`: it depends on the addresses of a name. `no`: they are dropped.
 */
export type Verdict =
  | { readonly passes: 'yes' | 'partly' | 'unknown'; readonly rule: number }
  | { readonly passes: 'no' };

/** Whether these rules allow the packets, and which rule decides: the first that allows them, or else the first that may. */
export function reach(rules: readonly Rule[], question: Question): Verdict {
  const covering = rules.findIndex((rule) => covers(rule, question));
  if (covering >= 0) return { passes: 'yes', rule: covering };
  const overlapping = rules.findIndex((rule) => meets(rule, question) === true);
  if (overlapping >= 0) return { passes: 'partly', rule: overlapping };
  const possible = rules.findIndex((rule) => meets(rule, question) === undefined);
  return possible >= 0 ? { passes: 'unknown', rule: possible } : { passes: 'no' };
}

/** Whether some packet matches both; undefined if that depends on the addresses of a name. */
export function meets(one: Rule, other: Rule): boolean | undefined {
  const [a, b] = [scopeOf(one), scopeOf(other)];
  if (!a || !b) return false;
  const apart =
    (a.protocols && b.protocols && !a.protocols.some((one) => b.protocols?.includes(one))) ||
    a.ports[0] > b.ports[1] ||
    b.ports[0] > a.ports[1];
  return apart ? false : placesMeet(one.to, other.to);
}

function placesMeet(one: string, other: string): boolean | undefined {
  if (one === '*' || other === '*' || one === other) return true;
  const [a, b] = [networkOf(one), networkOf(other)];
  if (a && b) {
    if (a.version !== b.version) return false;
    const rest = BigInt((a.version === 4 ? 32 : 128) - Math.min(a.prefix, b.prefix));
    return a.address >> rest === b.address >> rest;
  }
  // A name or a resolver may have any address. Two names are treated as two destinations.
  if (a || b) return undefined;
  const within = (wide: string, name: string) => wide.startsWith('*.') && name.endsWith(wide.slice(1));
  return within(one, other) || within(other, one);
}

/** The protocols and ports of a rule. `dns` always means port 53 over tcp and udp. */
function scopeOf(rule: Rule) {
  if (rule.to === 'dns') return { protocols: ['tcp', 'udp'], ports: [53, 53] as const };
  const ports = portsOf(rule);
  return ports && { protocols: rule.protocol ? [rule.protocol as string] : undefined, ports };
}

/** The question in an agent's arguments. Throws the refusal of arguments that are not valid. */
export function questionOf(host: string, port?: number, protocol?: Rule['protocol']): Question {
  const to = host.toLowerCase();
  if (port !== undefined && protocol === 'icmp')
    throw invalidAt('/port', 'must be absent if protocol is icmp');
  if (to === 'dns') {
    if ((port ?? 53) !== 53) throw invalidAt('/port', 'must be 53 or absent if host is dns');
    if (protocol === 'icmp') throw invalidAt('/protocol', 'must be tcp, udp or absent if host is dns');
    return { to };
  }
  if (!networkOf(to) && !isHostName(to))
    throw invalidAt('/host', 'must be a host name, an address, a network or dns; a URL is none of these');
  if (port === undefined) return { to, ...(protocol && { protocol }) };
  return { to, protocol: protocol ?? 'tcp', ports: String(port) };
}
