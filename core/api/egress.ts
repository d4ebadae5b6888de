/**
 * Outbound rules, as in `dom0/qmcpd/egress.py`: `to` is `*`, `dns` (the resolvers of the network), an address, a network or a
 * host name, and in a ceiling also `*.host`. A rule without a protocol allows any protocol, one without ports all ports.
 * Everything that no rule allows is dropped. dom0 decides; this copy is for advice before a call and for checks after it.
 */
export interface Rule {
  readonly to: string;
  readonly protocol?: 'tcp' | 'udp' | 'icmp';
  /** One port, or `first-last`. */
  readonly ports?: string;
}

const HOST =
  /^(?=.{1,253}$)(?!.*\d$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$/;

export const isHostName = (text: string): boolean => HOST.test(text);

/** Addresses that share their first `prefix` bits. */
export interface Network {
  readonly version: 4 | 6;
  readonly address: bigint;
  readonly prefix: number;
}

const BITS = { 4: 32, 6: 128 } as const;

/** The network that a text names (an address is a network of one), or undefined for any other text. */
export function networkOf(text: string): Network | undefined {
  const [before, after, ...rest] = text.split('/');
  const version = before!.includes(':') ? 6 : 4;
  const address = version === 6 ? address6(before!) : address4(before!);
  const prefix = after === undefined ? BITS[version] : prefixOf(after, version);
  if (rest.length > 0 || address === undefined || prefix === undefined) return undefined;
  const host = BigInt(BITS[version] - prefix);
  return { version, address: (address >> host) << host, prefix };
}

function address4(text: string): bigint | undefined {
  const bytes = text.split('.');
  if (bytes.length !== 4 || !bytes.every((byte) => /^(0|[1-9]\d{0,2})$/.test(byte) && Number(byte) < 256))
    return undefined;
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function address6(text: string): bigint | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (tail) {
    const embedded = address4(tail[2]!);
    if (embedded === undefined) return undefined;
    return address6(`${tail[1]}${(embedded >> 16n).toString(16)}:${(embedded & 0xffffn).toString(16)}`);
  }
  const halves = text.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const [head, end] = halves as [string[], string[] | undefined];
  const missing = 8 - head.length - (end?.length ?? 0);
  if (halves.length > 2 || (end === undefined ? missing !== 0 : missing < 1)) return undefined;
  const words = [...head, ...Array<string>(end === undefined ? 0 : missing).fill('0'), ...(end ?? [])];
  if (!words.every((word) => /^[0-9a-fA-F]{1,4}$/.test(word))) return undefined;
  return words.reduce((value, word) => (value << 16n) | BigInt(`0x${word}`), 0n);
}

/** A number of bits, or for IPv4 a netmask. */
function prefixOf(text: string, version: 4 | 6): number | undefined {
  if (/^\d{1,3}$/.test(text)) return Number(text) <= BITS[version] ? Number(text) : undefined;
  const mask = version === 4 ? address4(text)?.toString(2).padStart(32, '0') : undefined;
  return mask !== undefined && /^1*0*$/.test(mask) ? mask.replaceAll('0', '').length : undefined;
}

/** The first and the last port. All ports if the rule has none; undefined for an invalid range. */
export function portsOf({ ports }: Rule): readonly [number, number] | undefined {
  if (ports === undefined) return [0, 65_535];
  const found = /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(ports);
  if (!found) return undefined;
  const [low, high] = [Number(found[1]), Number(found[2] ?? found[1])];
  return low <= high && high <= 65_535 ? [low, high] : undefined;
}

/** Beyond its shape; only a ceiling may say `*.example.org`. */
export const isRule = (rule: Rule, ceiling = false): boolean => ruleFault(rule, ceiling) === undefined;

/** The property of a rule that is wrong, and the rule that it breaks; undefined if dom0 can read it. */
export function ruleFault(
  rule: Rule,
  ceiling = false,
): readonly [of: keyof Rule, problem: string] | undefined {
  const to = ceiling && rule.to.startsWith('*.') ? rule.to.slice(2) : rule.to;
  const { protocol, ports } = rule;
  if (to === 'dns' && (protocol ?? ports) !== undefined)
    return [protocol === undefined ? 'ports' : 'protocol', 'must be absent if to is dns'];
  if (to !== '*' && to !== 'dns' && networkOf(to) === undefined && !isHostName(to)) return ['to', PLACES];
  if (portsOf(rule) === undefined)
    return ['ports', 'must be one port from 1 to 65535, or the first and the last with a hyphen'];
  if (ports !== undefined && protocol !== 'tcp' && protocol !== 'udp')
    return ['ports', 'needs the protocol tcp or udp'];
  return undefined;
}

const PLACES =
  'must be *, dns, a host name in lower case, an address, or a network such as 10.0.0.0/8; a URL is none of these';

/** Whether `outer` allows everything that `inner` allows. */
export function covers(outer: Rule, inner: Rule): boolean {
  const [around, within] = [networkOf(outer.to), networkOf(inner.to)];
  const reaches =
    around && within
      ? around.version === within.version &&
        around.prefix <= within.prefix &&
        within.address >> BigInt(BITS[within.version] - around.prefix) ===
          around.address >> BigInt(BITS[around.version] - around.prefix)
      : outer.to === '*' ||
        outer.to === inner.to ||
        (outer.to.startsWith('*.') && isHostName(inner.to) && inner.to.endsWith(outer.to.slice(1)));
  const [wide, narrow] = [portsOf(outer), portsOf(inner)];
  return (
    reaches &&
    (outer.protocol === undefined || outer.protocol === inner.protocol) &&
    wide !== undefined &&
    narrow !== undefined &&
    wide[0] <= narrow[0] &&
    narrow[1] <= wide[1]
  );
}
