/** A service that is a link to `/dev/tcp`: `/dev/tcp/HOST/PORT`, `/dev/tcp/HOST` or `/dev/tcp`, the rest in the argument. */
import { lstatSync, readlinkSync } from 'node:fs';
import { isIP } from 'node:net';

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** What the link at `path` says after `/dev/tcp`; undefined when it is no such link. */
export function tcpLink(path: string): string | undefined {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return undefined;
  const target = readlinkSync(path);
  return target === '/dev/tcp' || target.startsWith('/dev/tcp/')
    ? target.slice('/dev/tcp'.length)
    : undefined;
}

/** Where the link and the argument of a call lead together; undefined when that is nowhere. */
export function tcpAddress(link: string, argument: string): TcpAddress | undefined {
  const [, host, port] = /^\/([^/]+)(?:\/(.*))?$/.exec(link) ?? [];
  if (port !== undefined) return argument === '' ? addressOf(host!, port) : undefined;
  if (host !== undefined) return addressOf(host, argument);
  if (link !== '') return undefined;
  // Both are in the argument, where a colon cannot be: `HOST+PORT`, and the colons of an IPv6 address as further pluses.
  const [, name, number] = /^([^_]+)\+([^+]*)$/.exec(argument) ?? [];
  return name === undefined ? undefined : addressOf(name.replaceAll('+', ':'), number!);
}

/** Addresses only: no name is looked up. */
function addressOf(host: string, port: string): TcpAddress | undefined {
  if (isIP(host) === 0) return undefined;
  return /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535 ? { host, port: Number(port) } : undefined;
}
