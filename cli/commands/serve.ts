import { serveOverHttp, serve as serveStdio } from '../../core/main.js';
import type { ServeFlags } from '../arguments/flags.js';
import { onHost } from '../host/choose.js';

export function serve(flags: ServeFlags): Promise<void> {
  const { http } = flags;
  return onHost(flags, (config) => (http === undefined ? serveStdio(config) : serveOverHttp(config, http)));
}
