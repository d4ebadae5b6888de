/** The world outside a guest: other qubes by qrexec, and the internet through its network qube. */
import type { SecureFetch } from 'just-bash';
import { pageOf } from '../network/internet.js';
import type { Destination, Reach } from '../network/reach.js';

export interface CallOut {
  readonly exit: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

export interface GuestNetwork {
  call(source: string, target: string, service: string, stdin: Uint8Array): Promise<CallOut>;
  reach(from: string, destination: Destination): Reach | Promise<Reach>;
  /** Whether the package manager of a qube gets something from there. */
  reachUpdates(from: string, destination: Destination): Promise<Reach>;
  /** The answer of the proxy for updates in a qube. */
  answerUpdates(name: string, request: string): Promise<string>;
}

const FAILURES = {
  unresolved: (host: string) => `Could not resolve host: ${host}`,
  unreachable: (host: string) => `Failed to connect to ${host}: Network is unreachable`,
  blocked: (host: string) => `Failed to connect to ${host}: Connection timed out`,
} as const;

/** The `fetch` behind a guest's `curl`. */
export function fetchFrom(outside: GuestNetwork, name: string): SecureFetch {
  return async (url) => {
    const { protocol, hostname, port, pathname, search } = new URL(url);
    const number = Number(port || (protocol === 'https:' ? 443 : 80));
    const found = await outside.reach(name, { host: hostname, port: number, protocol: 'tcp' });
    if (!found.reached) throw new Error(FAILURES[found.why](hostname));
    const body = new TextEncoder().encode(pageOf(hostname, pathname + search));
    return { status: 200, statusText: 'OK', headers: { 'content-type': 'text/plain' }, body, url };
  };
}
