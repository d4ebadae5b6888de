import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Session } from '../api/index.js';
import {
  createMcpHandler,
  InMemoryServerEventBus,
  isLegacyRequest,
  type ServerEvent,
  toNodeHandler,
} from '../vendor/mcp-http.js';
import { type AccessRules, type Answer, admit, PATH, refusal } from './access.js';
import { ChangeWatcher } from './changes.js';
import { type Client, type Limits, mayCall, Pace, type Token, TokenClients } from './clients.js';
import type { OAuthOptions } from './oauth.js';
import { type McpOptions, mcpServer } from './server.js';
import { Sessions } from './sessions.js';

/** The most streams of changes that may be open at once. */
const MAX_SUBSCRIPTIONS = 64;
/** Milliseconds that calls in progress have for their answers when the server is told to end. */
const DRAIN_MILLISECONDS = 1_500;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];
/** The most bytes of the body of a request; a file in a call is a part of one. */
const MAX_BODY = 8 << 20;
/** The most connections at once, and how long a client may take to send the head and the whole of a request. */
const MAX_CONNECTIONS = 1024;
const SENDING = { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 5_000 };

export const LIMITS: Limits = { requestsPerMinute: 1200, concurrentRequests: 64 };

/** Where MCP is served over HTTP, and for whom. */
export interface HttpSettings {
  /** An address of this machine. */
  readonly host: string;
  /** 0 for any free port. */
  readonly port: number;
  /** Tokens that clients send as `Authorization: Bearer …`. Without them and OAuth, only loopback addresses are allowed. */
  readonly tokens?: readonly Token[] | undefined;
  /** The authorization server whose tokens are accepted, too. The audience is the address of this server if absent. */
  readonly oauth?: (Omit<OAuthOptions, 'audience'> & { readonly audience?: string | undefined }) | undefined;
  /** Certificate and key, as PEM. */
  readonly tls?: { readonly certificate: string; readonly key: string } | undefined;
  /** The address of MCP at a proxy in front of this server, which ends TLS. */
  readonly publicUrl?: string | undefined;
  /** Origins of pages that may call. */
  readonly origins?: readonly string[] | undefined;
  /** All clients share what is kept for one. */
  readonly isStateShared?: boolean | undefined;
  readonly limits?: Partial<Limits> | undefined;
}

export type HttpOptions = McpOptions & HttpSettings;

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
  const { host, port, log, tls, publicUrl, limits } = options;
  const name = host.includes(':') ? `[${host}]` : host;
  refuseOpenAddress(name, options);

  const watch = () => watcher.setActive(bus.isListening || sessions.isListening);
  const bus = new CountingEventBus(watch);
  const optionsFor = sharesOf(options);
  const sessions = new Sessions((client) => optionsFor(client, 'session'), watch);
  const watcher = new ChangeWatcher(options.changes, (uri) => {
    bus.publish({ kind: 'resource_updated', uri });
    sessions.changed(uri);
  });
  const handler = createMcpHandler(
    ({ era, authInfo }) => {
      const isModern = era === 'modern';
      const connection = { isModern, subscribable: isModern };
      return mcpServer(optionsFor(clientIn(authInfo), 'request'), connection);
    },
    {
      bus,
      maxSubscriptions: MAX_SUBSCRIPTIONS,
      maxRequestBodySize: MAX_BODY,
      onerror: (error) => log(`mcp: ${error.message}`),
    },
  );
  const answer = toNodeHandler(
    {
      fetch: async (request, given) => {
        const body = request.method === 'POST' ? await jsonIn(request.clone()) : undefined;
        const isModern = request.method === 'POST' && !(await isLegacyRequest(request, body));
        return !isModern && sessions.takes(request, body)
          ? sessions.fetch(request, body, clientIn(given?.authInfo))
          : handler.fetch(request, body === undefined ? given : { ...given, parsedBody: body });
      },
    },
    { maxRequestBodySize: MAX_BODY },
  );

  const address = () => {
    const scheme = tls === undefined ? 'http' : 'https';
    return new URL(`${scheme}://${name}:${(server.address() as AddressInfo).port}${PATH}`);
  };
  let isStopping = false;
  const rules: AccessRules = {
    names: [...LOOPBACK, name, ...(publicUrl === undefined ? [] : [new URL(publicUrl).hostname])],
    url: () => (publicUrl === undefined ? address() : new URL(publicUrl)),
    origins: options.origins ?? [],
    tokens: options.tokens && new TokenClients(options.tokens),
    oauth: options.oauth && oauthRules(options.oauth, () => rules.url().href),
    isStopping: () => isStopping,
  };
  const pace = new Pace({ ...LIMITS, ...limits });
  const inProgress = new InProgress();
  const onRequest: RequestListener = async (request, response) => {
    try {
      const { cors, ...admitted } = await admit(request, rules);
      for (const [header, value] of Object.entries(cors)) response.setHeader(header, value);
      if ('answer' in admitted) return send(response, admitted.answer);
      const { client } = admitted;
      if (request.method === 'POST') {
        const place = pace.begin(client);
        if ('wait' in place) return send(response, tooMany(place.wait));
        response.once('close', place.end);
        inProgress.add(response);
      }
      await answer(withClient(request, client) as Parameters<typeof answer>[0], response);
    } catch (error) {
      log(`mcp: ${(error as Error).message}`);
      response.destroy();
    }
  };
  const server =
    tls === undefined
      ? createServer(SENDING, onRequest)
      : createTlsServer(
          { ...SENDING, cert: tls.certificate, key: tls.key, minVersion: 'TLSv1.2' },
          onRequest,
        );
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  try {
    // Malformed keys are a reason not to start.
    await rules.oauth?.clients();
  } catch (error) {
    server.close();
    throw error;
  }
  return {
    url: address().href,
    close: async () => {
      isStopping = true;
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

function refuseOpenAddress(name: string, { tokens, oauth, tls, publicUrl, host }: HttpOptions): void {
  if (LOOPBACK.includes(name)) return;
  if (tokens === undefined && oauth === undefined)
    throw new TokenRequired(
      `other machines can reach ${host}; use --token-file to require a token, or serve on 127.0.0.1`,
    );
  if (tls === undefined && publicUrl === undefined)
    throw new TokenRequired(
      `other machines can reach ${host}, and could read the tokens on the way; set http.tls, or http.publicUrl if a proxy ends TLS, or serve on 127.0.0.1`,
    );
}

const oauthRules = ({ audience, ...options }: NonNullable<HttpSettings['oauth']>, own: () => string) => {
  // Only a server with OAuth loads the library.
  let clients: Promise<import('./oauth.js').OAuthClients> | undefined;
  return {
    issuer: options.issuer,
    clients: () => {
      clients ??= import('./oauth.js').then(
        ({ OAuthClients }) => new OAuthClients({ ...options, audience: audience ?? own() }),
      );
      return clients;
    },
  };
};

/**
 * Makes the options of a server for one client: its tools, and whose state it has. A client with a token of its own has its state in all its
 * sessions. Clients without one have it in a session of the 2025 era; requests that stand alone share one that lists nothing.
 */
function sharesOf(options: HttpOptions): (client: Client, unit: 'session' | 'request') => McpOptions {
  const everybody: Session = {};
  const alone: Session = { isShared: true };
  return (client, unit) => ({
    ...options,
    tools: options.tools.filter(({ plugin, tool }) =>
      // The server's own tools only follow what the others have begun.
      mayCall(plugin === 'qmcp' ? { readOnly: client.rights.readOnly } : client.rights, tool),
    ),
    session: options.isStateShared ? everybody : (client.session ?? (unit === 'request' ? alone : {})),
    ownsSession: !options.isStateShared && client.session === undefined && unit === 'session',
  });
}

/** The SDK passes on who asks, for its own checks of tokens; it gets no token from us. */
const withClient = (request: IncomingMessage, client: Client) =>
  Object.assign(request, { auth: { token: '', clientId: client.name, scopes: [], extra: { client } } });

const clientIn = (auth: { readonly extra?: Readonly<Record<string, unknown>> } | undefined): Client =>
  auth!.extra!.client as Client;

function send(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, {
    ...(body !== undefined && { 'content-type': 'application/json' }),
    ...headers,
  });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

const tooMany = (seconds: number): Answer => ({
  ...refusal(429, `This client sends too many requests; wait ${seconds} s.`),
  headers: { 'retry-after': String(seconds) },
});

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
