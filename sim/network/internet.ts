/** The internet: every name has an address, except names that end in `.invalid`, and every address answers. */
import { createHash } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';

/** 4 or 6 for an address; undefined for a name. */
export const familyOf = (host: string): 4 | 6 | undefined =>
  isIPv4(host) ? 4 : isIPv6(host) && !host.includes('%') ? 6 : undefined;

export const resolves = (name: string): boolean => !/(?:^|\.)invalid$/i.test(name);

/** In 198.18.0.0/15, which is reserved for tests; the same name has the same address on every machine. Names have no IPv6 address. */
export function addressOf(name: string): string {
  if (familyOf(name) !== undefined) return name;
  const hash = createHash('sha256').update(name.toLowerCase()).digest();
  return `198.${18 + (hash[0]! & 1)}.${hash[1]}.${hash[2]}`;
}

/** The answer of a web server with that name. */
export const pageOf = (host: string, path: string): string => `${host} says hello from ${path}\n`;
