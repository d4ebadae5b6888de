import type { Qrexec, QrexecResult } from '../ports/qrexec.js';

const MAX_CATALOG = 4_194_304;

/** Asks dom0 what it enforces. Apart from the code that reads the answer, so that a start can ask first. `timeout` is seconds. */
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
