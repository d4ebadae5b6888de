/** How a server starts soon: dom0 is asked what it enforces while the rest of the program is still being loaded. */

import { CATALOG_SERVICE, catalogRequest } from './boot/catalog-request.js';
import type { Config } from './config/defaults.js';
import { resolveConfig, type Sources } from './config/resolve.js';
import { QrexecClient } from './ports/client.js';
import type { Qrexec } from './ports/qrexec.js';

export type Asked = Pick<Sources, 'flags' | 'file'>;

/** The configuration as this process was started: its environment, its working directory. Throws BadConfig. */
export function configuration({ flags, file }: Asked): Promise<Config> {
  return resolveConfig({ flags, file, env: process.env, directory: process.cwd() });
}

/** Serves MCP on standard input and output until the client goes. Throws BadConfig and BootError. */
export async function start(config: Config): Promise<void> {
  const { client, timeout } = config.qrexec;
  const qrexec = asking(new QrexecClient(client), timeout);
  const { serve } = await import('./main.js');
  await serve(config, qrexec);
}

/** A way out on which the catalog has been asked for already. The answer is given once: whoever asks again is answered anew. */
function asking(qrexec: Qrexec, timeout: number): Qrexec {
  let early: ReturnType<Qrexec['call']> | undefined = qrexec.call(catalogRequest(timeout));
  return {
    call(request) {
      const answer = request.service === CATALOG_SERVICE ? early : undefined;
      if (answer === undefined) return qrexec.call(request);
      early = undefined;
      return answer;
    },
  };
}
