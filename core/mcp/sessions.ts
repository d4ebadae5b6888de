/** Sessions of clients of the 2025 era over HTTP. */
import { randomUUID } from 'node:crypto';
import { isInitializeRequest, WebStandardStreamableHTTPServerTransport } from '../vendor/mcp-http.js';
import type { Client } from './clients.js';
import { RecentEvents } from './recent-events.js';
import { type McpOptions, mcpServer } from './server.js';

/** The most sessions at once. One that is idle makes room for a new one. */
const MAX_SESSIONS = 64;
/** Milliseconds without a request or an open stream after which a session ends. */
const IDLE_MILLISECONDS = 30 * 60_000;
const HEADER = 'mcp-session-id';

/** Serves each client by a server of its own, so that it can cancel, subscribe, and resume a stream that broke off. */
export class Sessions {
  private readonly sessions = new Map<string, Session>();

  constructor(
    /** What a new session of the client serves. */
    private readonly optionsFor: (client: Client) => McpOptions,
    /** Called when a session may have begun or stopped to listen to changes. */
    private readonly onListening: () => void,
  ) {}

  /** Whether the request belongs to a session or begins one. */
  takes(request: Request, body: unknown): boolean {
    return request.headers.has(HEADER) || (request.method === 'POST' && isInitializeRequest(body));
  }

  /** A session belongs to the client that began it: for any other, there is none. */
  async fetch(request: Request, body: unknown, client: Client): Promise<Response> {
    const id = request.headers.get(HEADER);
    const found = id === null ? await this.begin(client) : this.sessions.get(id);
    const session = found?.client === client ? found : undefined;
    // A client that hears this begins a new session.
    if (session === undefined)
      return id === null
        ? refusal(503, 'Too many sessions are open; end one, or try again later')
        : refusal(404, 'There is no such session; it may have ended for want of requests');
    const response = await session.handle(request, body);
    if (session.transport.sessionId === undefined) await session.close();
    return response;
  }

  /** Whether some session has subscribed to changes and has a stream on which to hear of them. */
  get isListening(): boolean {
    return [...this.sessions.values()].some((session) => session.isListening);
  }

  changed(uri: string): void {
    for (const session of this.sessions.values()) session.changed(uri);
  }

  async close(): Promise<void> {
    await Promise.all([...this.sessions.values()].map((session) => session.close()));
  }

  private async begin(client: Client): Promise<Session | undefined> {
    if (this.sessions.size >= MAX_SESSIONS) {
      const idle = [...this.sessions.values()]
        .filter((session) => session.isIdle)
        .sort((one, other) => Number(other.client === client) - Number(one.client === client))[0];
      if (idle === undefined) return undefined;
      await idle.close();
    }
    const session = new Session(this.optionsFor(client), client, {
      began: (id) => this.sessions.set(id, session),
      // The one that was used last is the last to make room.
      used: (id) => {
        if (this.sessions.delete(id)) this.sessions.set(id, session);
        this.onListening();
      },
      ended: (id) => {
        this.sessions.delete(id);
        this.onListening();
      },
    });
    await session.connect();
    return session;
  }
}

interface Owner {
  began(id: string): void;
  used(id: string): void;
  ended(id: string): void;
}

class Session {
  readonly transport: WebStandardStreamableHTTPServerTransport;
  private readonly server: ReturnType<typeof mcpServer>;
  private readonly addresses = new Set<string>();
  /** Responses that are not at their end: of calls, and of the stream of notices. */
  private open = 0;
  private streams = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly options: McpOptions,
    readonly client: Client,
    private readonly owner: Owner,
  ) {
    this.transport = new WebStandardStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => owner.began(id),
      eventStore: new RecentEvents(),
    });
    const subscriber = {
      subscribed: (uri: string) => this.addresses.add(uri),
      unsubscribed: (uri: string) => this.addresses.delete(uri),
    };
    this.server = mcpServer(options, { subscribable: true, subscriber });
  }

  async connect(): Promise<void> {
    await this.server.connect(this.transport);
    const { onclose } = this.transport;
    this.transport.onclose = () => {
      clearTimeout(this.timer);
      onclose?.();
      // Nobody can ask for its calls any more.
      if (this.options.ownsSession) void this.options.calls?.stop(this.options.session);
      if (this.transport.sessionId !== undefined) this.owner.ended(this.transport.sessionId);
    };
  }

  get isIdle(): boolean {
    return this.open === 0;
  }

  get isListening(): boolean {
    return this.addresses.size > 0 && this.streams > 0;
  }

  changed(uri: string): void {
    if (this.addresses.has(uri)) this.server.sendResourceUpdated({ uri }).catch(() => {});
  }

  async handle(request: Request, body: unknown): Promise<Response> {
    const isStream = request.method === 'GET';
    this.count(1, isStream);
    const response = await this.transport.handleRequest(
      request,
      body === undefined ? {} : { parsedBody: body },
    );
    return whenOver(response, () => this.count(-1, isStream));
  }

  async close(): Promise<void> {
    await this.server.close();
  }

  private count(change: 1 | -1, isStream: boolean): void {
    this.open += change;
    if (isStream) this.streams += change;
    clearTimeout(this.timer);
    if (this.isIdle) {
      this.timer = setTimeout(() => void this.close(), IDLE_MILLISECONDS);
      this.timer.unref?.();
    }
    if (this.transport.sessionId !== undefined) this.owner.used(this.transport.sessionId);
  }
}

/** The same response. Calls `over` when its body is at its end or nobody reads it any more. */
function whenOver(response: Response, over: () => void): Response {
  if (response.body === null) {
    over();
    return response;
  }
  const reader = response.body.getReader();
  let isOver = false;
  const end = () => {
    if (isOver) return;
    isOver = true;
    over();
  };
  const body = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        end();
        controller.close();
      } catch (error) {
        end();
        controller.error(error);
      }
    },
    cancel: (reason) => {
      end();
      return reader.cancel(reason).catch(() => {});
    },
  });
  const { status, statusText, headers } = response;
  return new Response(body, { status, statusText, headers });
}

const refusal = (status: 404 | 503, message: string): Response =>
  Response.json(
    { jsonrpc: '2.0', id: null, error: { code: status === 404 ? -32_001 : -32_000, message } },
    { status },
  );
