import { covers, isHostName, networkOf, portsOf, type Rule } from '../../core/api/index.js';

/** What is asked: packets to a place, perhaps of one protocol, perhaps to one port. It has the form of a rule, `dns` aside. */
export type Question = Rule;

/**
 * `yes`: one rule lets all of it through. `partly`: none does, and the rule named lets some of it through (of the ports, the
 * protocols, the addresses). `unknown`: that depends on which addresses a name has. `no`: it is dropped.
 */
export type Verdict =
  | { readonly passes: 'yes' | 'partly' | 'unknown'; readonly rule: number }
  | { readonly passes: 'no' };

/** Whether these rules let it through, and which decides: the first that does, else the first that may. */
export function reach(rules: readonly Rule[], question: Question): Verdict {
  const covering = rules.findIndex((rule) => covers(rule, question));
  if (covering >= 0) return { passes: 'yes', rule: covering };
  const overlapping = rules.findIndex((rule) => meets(rule, question) === true);
  if (overlapping >= 0) return { passes: 'partly', rule: overlapping };
  const possible = rules.findIndex((rule) => meets(rule, question) === undefined);
  return possible >= 0 ? { passes: 'unknown', rule: possible } : { passes: 'no' };
}

/** Whether there is a packet that both are about; undefined when that depends on what a name stands for. */
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
  // A name may have any address, and so may a resolver; two names are taken for two places.
  if (a || b) return undefined;
  const within = (wide: string, name: string) => wide.startsWith('*.') && name.endsWith(wide.slice(1));
  return within(one, other) || within(other, one);
}

/** Which protocols and ports a rule is about; `dns` says nothing of them because there is only one answer. */
function scopeOf(rule: Rule) {
  if (rule.to === 'dns') return { protocols: ['tcp', 'udp'], ports: [53, 53] as const };
  const ports = portsOf(rule);
  return ports && { protocols: rule.protocol ? [rule.protocol as string] : undefined, ports };
}

/** The question an agent's words make, or undefined for words that make none. */
export function questionOf(host: string, port?: number, protocol?: Rule['protocol']): Question | undefined {
  const to = host.toLowerCase();
  if (to === 'dns') return (port ?? 53) === 53 && protocol !== 'icmp' ? { to } : undefined;
  if (!networkOf(to) && !isHostName(to)) return undefined;
  if (port === undefined) return { to, ...(protocol && { protocol }) };
  return protocol === 'icmp' ? undefined : { to, protocol: protocol ?? 'tcp', ports: String(port) };
}
