/** The internet: every name has an address, and every address answers. */
import { createHash } from 'node:crypto';

/** In 198.18.0.0/15, which is reserved for tests; the same name has the same address on every machine. */
export function addressOf(name: string): string {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(name)) return name;
  const hash = createHash('sha256').update(name.toLowerCase()).digest();
  return `198.${18 + (hash[0]! & 1)}.${hash[1]}.${hash[2]}`;
}

/** The answer of a web server with that name. */
export const pageOf = (host: string, path: string): string => `${host} says hello from ${path}\n`;
