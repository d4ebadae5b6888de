import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createMcpHandler,
  InMemoryServerEventBus,
  type ServerEvent,
  toNodeHandler,
} from '../vendor/mcp-http.js';
import { PATH, refuseAccess } from './access.js';
import { ChangeWatcher } from './changes.js';
import { type McpOptions, mcpServer } from './server.js';

/** The most streams of changes that may be open at once. */
const MAX_SUBSCRIPTIONS = 64;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** Where MCP is served over HTTP, and for whom. */
export interface HttpAddress {
  /** An address of this machine. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** The token that a client must send as `Authorization: Bearer …`. Without a token, only loopback addresses are allowed. */
  readonly token: string | undefined;
}

export type HttpOptions = McpOptions & HttpAddress;

export interface HttpListener {
  readonly url: string;
  close(): Promise<void>;
}

/** Refuses to serve on an address that other machines can reach without a token. */
export class TokenRequired extends Error {
  override readonly name = 'TokenRequired';
}

/**
 * Serves any number of clients over Streamable HTTP, in either era of the protocol; each request is independent. Requests
 * for another host name or from another origin are refused first, so that a web page cannot call the server.
 */
export async function serveHttp(options: HttpOptions): Promise<HttpListener> {
  const { host, port, token, log } = options;
  const name = host.includes(':') ? `[${host}]` : host;
  if (token === undefined && !LOOPBACK.includes(name))
    throw new TokenRequired(
      `other machines can reach ${host}; use --token-file to require a token, or serve on 127.0.0.1`,
    );

  const bus = new CountingEventBus((open) => watcher.setActive(open > 0));
  const watcher = new ChangeWatcher(options.changes, (uri) => bus.publish({ kind: 'resource_updated', uri }));
  const handler = createMcpHandler(({ era }) => mcpServer(options, era === 'modern'), {
    bus,
    maxSubscriptions: MAX_SUBSCRIPTIONS,
    onerror: (error) => log(`mcp: ${error.message}`),
  });
  const answer = toNodeHandler(handler);
  const portServed = () => (server.address() as AddressInfo).port;
  const rules = { names: [...LOOPBACK, name], port: portServed, token };

  const server = createServer((request, response) => {
    const refusal = refuseAccess(request, rules);
    if (refusal !== undefined) {
      const headers = { 'content-type': 'application/json', ...refusal.headers };
      response.writeHead(refusal.status, headers).end(JSON.stringify(refusal.body));
      return;
    }
    answer(request as Parameters<typeof answer>[0], response).catch((error: Error) => {
      log(`mcp: ${error.message}`);
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    url: `http://${name}:${portServed()}${PATH}`,
    close: async () => {
      watcher.setActive(false);
      await handler.close();
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Reports how many streams are open: the SDK does not say which addresses they are about. */
class CountingEventBus extends InMemoryServerEventBus {
  constructor(private readonly count: (open: number) => void) {
    super();
  }

  override subscribe(listener: (event: ServerEvent) => void): () => void {
    const unsubscribe = super.subscribe(listener);
    this.count(this.listenerCount);
    return () => {
      unsubscribe();
      this.count(this.listenerCount);
    };
  }
}
