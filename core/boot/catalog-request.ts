import type { Qrexec, QrexecResult } from '../ports/qrexec.js';

const MAX_CATALOG = 4_194_304;

/** Asks dom0 what it enforces: the question every start begins with, apart from what reads the answer. `timeout` is seconds. */
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
