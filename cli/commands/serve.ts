import { readFileSync } from 'node:fs';
import { type HttpAddress, serveOverHttp, serve as serveStdio } from '../../core/main.js';
import type { ServeFlags } from '../arguments/flags.js';
import { UsageError } from '../arguments/input.js';
import { onHost } from '../host/choose.js';

export function serve(flags: ServeFlags): Promise<void> {
  const { http, tokenFile } = flags;
  return onHost(flags, (config) =>
    http === undefined ? serveStdio(config) : serveOverHttp(config, address(http, tokenFile)),
  );
}

function address({ host, port }: { host: string; port: number }, file?: string): HttpAddress {
  if (file === undefined) return { host, port, token: undefined };
  const token = readFileSync(file, 'utf8').trim();
  if (!/^[\x21-\x7e]{16,}$/.test(token))
    throw new UsageError(
      `${file}: expected a token of at least 16 visible ASCII characters on one line; to make one, run openssl rand -hex 32`,
    );
  return { host, port, token };
}
