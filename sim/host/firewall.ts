import { isIPv4, isIPv6 } from 'node:net';
import { NoReply } from './errors.js';

/** One line of a firewall, checked and in canonical form. For any fault in it, the daemon sends an empty reply. */
export function canonicalRule(untrusted_line: string): string {
  const at = untrusted_line.indexOf('comment=');
  const untrusted_options = at < 0 ? untrusted_line : untrusted_line.slice(0, at);
  const options = new Map<string, string>();
  for (const untrusted_option of untrusted_options.trim().split(' ')) {
    const equals = untrusted_option.indexOf('=');
    if (equals < 0) throw bad(untrusted_option);
    const [key, value] = option(untrusted_option.slice(0, equals), untrusted_option.slice(equals + 1));
    const slot = key.startsWith('dst') && key !== 'dstports' ? 'dst' : key;
    if (options.has(slot)) throw bad(`${key} twice`);
    options.set(slot, `${key}=${value}`);
  }
  if (at >= 0) {
    const comment = untrusted_line.slice(at + 'comment='.length);
    if (!/^[A-Za-z0-9:;,./\-_[\] ]*$/.test(comment)) throw bad('strange characters in comment');
    if (comment !== '') options.set('comment', `comment=${comment}`);
  }
  const proto = options.get('proto');
  if (!options.has('action')) throw bad('no action');
  if (options.has('dstports') && proto !== 'proto=tcp' && proto !== 'proto=udp')
    throw bad('ports without tcp or udp');
  if (options.has('icmptype') && proto !== 'proto=icmp') throw bad('icmptype without icmp');
  return PRINT_ORDER.map((key) => options.get(key))
    .filter((text) => text !== undefined)
    .join(' ');
}

/** Python's order of the rule's attributes: by load order, then by name; a comment extends to the end of the line. */
const PRINT_ORDER = ['action', 'expire', 'dst', 'proto', 'specialtarget', 'dstports', 'icmptype', 'comment'];

/** An expired rule is stored and no longer shown. */
export function isExpired(rule: string, now: number): boolean {
  const match = /(?:^| )expire=(\d+)/.exec(rule.split(' comment=')[0] ?? '');
  return match !== null && Number(match[1]) < now;
}

function option(key: string, value: string): [string, string] {
  switch (key) {
    case 'action':
      if (value !== 'accept' && value !== 'drop') throw bad(value);
      return [key, value];
    case 'proto':
      if (!['tcp', 'udp', 'icmp'].includes(value)) throw bad(value);
      return [key, value];
    case 'dst4':
    case 'dst6':
    case 'dsthost': {
      const [kind, text] = destination(value);
      if (key !== 'dsthost' && kind !== key) throw bad(value);
      return [kind, text];
    }
    case 'dstports':
      return [key, ports(value)];
    case 'icmptype':
      if (!/^\d{1,3}$/.test(value) || Number(value) > 255) throw bad(value);
      return [key, String(Number(value))];
    case 'specialtarget':
      if (value !== 'dns') throw bad(value);
      return [key, value];
    case 'expire':
      if (!/^\d+$/.test(value)) throw bad(value);
      return [key, value];
    default:
      throw bad(key);
  }
}

function destination(value: string): ['dst4' | 'dst6' | 'dsthost', string] {
  const [host = '', prefix, ...more] = value.split('/');
  if (more.length > 0) throw bad(value);
  if (prefix !== undefined && !/^\d+$/.test(prefix)) throw bad(value);
  if (isIPv6(host) && !host.includes('%')) {
    if (Number(prefix ?? 128) > 128) throw bad(value);
    return ['dst6', `${host}/${prefix ?? 128}`];
  }
  if (isIPv4(host)) {
    if (Number(prefix ?? 32) > 32) throw bad(value);
    return ['dst4', `${host}/${prefix ?? 32}`];
  }
  if (prefix !== undefined || !/^[a-z0-9._-]*$/.test(host)) throw bad(value);
  return ['dsthost', host];
}

function ports(value: string): string {
  const match = /^(\d+)(?:-(\d+))?$/.exec(value);
  if (match === null) throw bad(value);
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  if (to >= 65536 || from > to) throw bad(value);
  return `${from}-${to}`;
}

function bad(what: string): NoReply {
  return new NoReply(`firewall rule: ${what}`);
}
