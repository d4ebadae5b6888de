import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  createMcpHandler,
  InMemoryServerEventBus,
  isLegacyRequest,
  type ServerEvent,
  toNodeHandler,
} from '../vendor/mcp-http.js';
import { PATH, refuseAccess } from './access.js';
import { ChangeWatcher } from './changes.js';
import { type McpOptions, mcpServer } from './server.js';
import { Sessions } from './sessions.js';

/** The most streams of changes that may be open at once. */
const MAX_SUBSCRIPTIONS = 64;
/** Milliseconds that calls in progress have for their answers when the server is told to end. */
const DRAIN_MILLISECONDS = 1_500;
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
 * Serves any number of clients over Streamable HTTP, in either era of the protocol. Requests
 * for another host name or from another origin are refused first, so that a web page cannot call the server.
 */
export async function serveHttp(options: HttpOptions): Promise<HttpListener> {
  const { host, port, token, log } = options;
  const name = host.includes(':') ? `[${host}]` : host;
  if (token === undefined && !LOOPBACK.includes(name))
    throw new TokenRequired(
      `other machines can reach ${host}; use --token-file to require a token, or serve on 127.0.0.1`,
    );

  const watch = () => watcher.setActive(bus.isListening || sessions.isListening);
  const bus = new CountingEventBus(watch);
  const sessions = new Sessions(options, watch);
  const watcher = new ChangeWatcher(options.changes, (uri) => {
    bus.publish({ kind: 'resource_updated', uri });
    sessions.changed(uri);
  });
  // A request without a session stands alone; what plugins keep belongs to all such requests together.
  const shared = { ...options, session: {} };
  const handler = createMcpHandler(
    ({ era }) => mcpServer(shared, { isModern: era === 'modern', subscribable: era === 'modern' }),
    {
      bus,
      maxSubscriptions: MAX_SUBSCRIPTIONS,
      onerror: (error) => log(`mcp: ${error.message}`),
    },
  );
  const answer = toNodeHandler({
    fetch: async (request, given) => {
      const body = request.method === 'POST' ? await jsonIn(request.clone()) : undefined;
      const isModern = request.method === 'POST' && !(await isLegacyRequest(request, body));
      return !isModern && sessions.takes(request, body)
        ? sessions.fetch(request, body)
        : handler.fetch(request, body === undefined ? given : { ...given, parsedBody: body });
    },
  });
  const portServed = () => (server.address() as AddressInfo).port;
  const rules = { names: [...LOOPBACK, name], port: portServed, token };

  const inProgress = new InProgress();
  const server = createServer((request, response) => {
    if (request.method === 'POST') inProgress.add(response);
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
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      await inProgress.end(DRAIN_MILLISECONDS);
      watcher.setActive(false);
      await sessions.close();
      await handler.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The responses that are not at their end. */
class InProgress {
  private readonly responses = new Set<ServerResponse>();
  private onEmpty = () => {};

  add(response: ServerResponse): void {
    this.responses.add(response);
    response.once('close', () => {
      this.responses.delete(response);
      if (this.responses.size === 0) this.onEmpty();
    });
  }

  /** Resolves when there is none, or after the time. */
  end(milliseconds: number): Promise<void> {
    if (this.responses.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.onEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** The value in the body, or undefined if it is not JSON: then the handler says so. */
async function jsonIn(request: Request): Promise<unknown> {
  try {
    return await request.json();
  } catch {
    return undefined;
  }
}

/** Reports when streams open and close: the SDK does not say which addresses they are about. */
class CountingEventBus extends InMemoryServerEventBus {
  constructor(private readonly onChange: () => void) {
    super();
  }

  get isListening(): boolean {
    return this.listenerCount > 0;
  }

  override subscribe(listener: (event: ServerEvent) => void): () => void {
    const unsubscribe = super.subscribe(listener);
    this.onChange();
    return () => {
      unsubscribe();
      this.onChange();
    };
  }
}
