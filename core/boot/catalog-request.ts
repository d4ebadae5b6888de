import type { QrexecRequest } from '../ports/qrexec.js';

export const CATALOG_SERVICE = 'qmcp.Catalog';
const MAX_CATALOG = 4_194_304;

/** The one question every start begins with. `timeout` is seconds. */
export const catalogRequest = (timeout: number): QrexecRequest => ({
  target: '@adminvm',
  service: CATALOG_SERVICE,
  stdin: new TextEncoder().encode('{}'),
  timeout,
  maxBytes: MAX_CATALOG,
});
