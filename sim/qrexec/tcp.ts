/** A service that is a link to `/dev/tcp`: `/dev/tcp/HOST/PORT`, `/dev/tcp/HOST` or `/dev/tcp`, with the rest in the argument. */
import { lstatSync, readlinkSync } from 'node:fs';
import { isIP } from 'node:net';

export interface TcpAddress {
  readonly host: string;
  readonly port: number;
}

/** The target of the link at `path` after `/dev/tcp`; undefined for any other link. */
export function tcpLink(path: string): string | undefined {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return undefined;
  const target = readlinkSync(path);
  return target === '/dev/tcp' || target.startsWith('/dev/tcp/')
    ? target.slice('/dev/tcp'.length)
    : undefined;
}

/** The address from the link and the argument of a call; undefined if they do not form one. */
export function tcpAddress(link: string, argument: string): TcpAddress | undefined {
  const [, host, port] = /^\/([^/]+)(?:\/(.*))?$/.exec(link) ?? [];
  if (port !== undefined) return argument === '' ? addressOf(host!, port) : undefined;
  if (host !== undefined) return addressOf(host, argument);
  if (link !== '') return undefined;
  // The argument has both, and cannot contain a colon: `HOST+PORT`, with further pluses for the colons of an IPv6 address.
  const [, name, number] = /^([^_]+)\+([^+]*)$/.exec(argument) ?? [];
  return name === undefined ? undefined : addressOf(name.replaceAll('+', ':'), number!);
}

/** Addresses only: names are not looked up. */
function addressOf(host: string, port: string): TcpAddress | undefined {
  if (isIP(host) === 0) return undefined;
  return /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535 ? { host, port: Number(port) } : undefined;
}
