import type { Qrexec, QrexecResult } from '../ports/qrexec.js';

const MAX_CATALOG = 4_194_304;

/** Asks dom0 what it enforces. In its own file, so that a start can send the request before it loads the rest. `timeout` is seconds. */
export const requestCatalog = (
  qrexec: Qrexec,
  timeout: number,
  signal?: AbortSignal,
): Promise<QrexecResult> =>
  qrexec.call({
    target: '@adminvm',
    service: 'qmcp.Catalog',
    stdin: new TextEncoder().encode('{}'),
    signal,
    timeout,
    maxBytes: MAX_CATALOG,
  });
