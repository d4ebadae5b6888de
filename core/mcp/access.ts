/** Decides which HTTP requests reach MCP, and for which client. Every other one gets an answer with a body that says why. */
import type { Client, TokenClients } from './clients.js';
import { EVERYTHING } from './clients.js';
import type { OAuthClients } from './oauth.js';

/** The only path that serves MCP. */
export const PATH = '/mcp';
/** Where a program asks whether this server is alive. */
const HEALTH = '/healthz';
/** Where a client looks for the rules of a protected resource: RFC 9728. Anybody may read it. */
const METADATA = '/.well-known/oauth-protected-resource';

/** The headers that a page of an allowed origin may send and read. */
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, POST, DELETE',
  'access-control-allow-headers':
    'accept, authorization, content-type, last-event-id, mcp-method, mcp-name, mcp-protocol-version, mcp-session-id',
  'access-control-max-age': '600',
};
const EXPOSED = { 'access-control-expose-headers': 'mcp-session-id, www-authenticate', vary: 'Origin' };

export interface AccessRules {
  /** The host names under which this server is reached; IPv6 in brackets. */
  readonly names: readonly string[];
  /** The address of MCP as clients know it, once the server listens. */
  readonly url: () => URL;
  /** Origins of pages that may call, besides those of this server. */
  readonly origins: readonly string[];
  /** Without tokens and without OAuth, every request is served. */
  readonly tokens: TokenClients | undefined;
  readonly oauth: { readonly issuer: string; readonly clients: () => Promise<OAuthClients> } | undefined;
  readonly isStopping: () => boolean;
}

/** An answer other than MCP's. */
export interface Answer {
  readonly status: 200 | 204 | 401 | 403 | 404 | 429 | 503;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** The part of a request that decides. */
interface Request {
  readonly url?: string | undefined;
  readonly method?: string | undefined;
  readonly headers: {
    readonly host?: string | undefined;
    readonly origin?: string | undefined;
    readonly authorization?: string | undefined;
  };
}

/** Headers for every answer to a page of another origin, whatever the answer is. */
type Admission = { readonly cors: Readonly<Record<string, string>> } & (
  | { readonly answer: Answer }
  | { readonly client: Client }
);

const ANYBODY: Client = { name: 'anybody', rights: EVERYTHING, session: undefined };
/** The scopes of our tokens: see oauth.ts, which is loaded only if it is needed. */
const SCOPES = ['qmcp:read', 'qmcp:call'];

/** The client whose request may reach MCP, or the answer to any other request. */
export async function admit(request: Request, rules: AccessRules): Promise<Admission> {
  const { headers, method } = request;
  // These two come first, so that a web page learns nothing, not even whether there is a token.
  if (!isNamed(headers.host, rules.names))
    return answered(
      refusal(403, `This server answers only requests for ${rules.names.join(', ')}; check the Host header.`),
    );
  const { origin } = headers;
  const isForeign = origin !== undefined && !isOwnOrigin(origin, rules);
  if (isForeign && !rules.origins.includes(origin))
    return answered(
      refusal(403, 'Pages of other origins may not call this server; check the Origin header.'),
    );
  const cors = isForeign ? { 'access-control-allow-origin': origin, ...EXPOSED } : {};
  if (isForeign && method === 'OPTIONS') return { cors, answer: { status: 204, headers: PREFLIGHT } };
  return { cors, ...(await decide(request, rules)) };
}

const answered = (answer: Answer): Admission => ({ cors: {}, answer });

async function decide(
  { headers, url = '' }: Request,
  rules: AccessRules,
): Promise<{ readonly answer: Answer } | { readonly client: Client }> {
  const path = url.split('?')[0]!;
  if (path === HEALTH)
    return {
      answer: rules.isStopping()
        ? refusal(503, 'The server is stopping.')
        : { status: 200, body: { status: 'ok' } },
    };
  const isOpen = rules.tokens === undefined && rules.oauth === undefined;
  if ([METADATA, METADATA + PATH, METADATA + rules.url().pathname].includes(path) && !isOpen)
    return { answer: { status: 200, body: metadataFor(rules, headers.host) } };
  if (path.startsWith('/.well-known/')) return { answer: refusal(404, 'There is nothing here.') };
  if (rules.isStopping())
    return { answer: { ...refusal(503, 'The server is stopping.'), headers: { connection: 'close' } } };
  const found = isOpen ? { client: ANYBODY } : await authenticate(headers, rules);
  if ('client' in found && path !== PATH) return { answer: refusal(404, `MCP is served at ${PATH}.`) };
  return found;
}

async function authenticate(headers: Request['headers'], rules: AccessRules) {
  // The name of the scheme may be in any case: RFC 7235.
  const [, sent] = /^bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  const challenged = (message: string, details = '', status: 401 | 403 = 401) => {
    const challenge = `Bearer realm="qmcp"${details}, resource_metadata="${metadataAddress(rules, headers.host)}"`;
    return { answer: { ...refusal(status, message), headers: { 'www-authenticate': challenge } } };
  };
  // RFC 6750: the challenge has an error code only if the client sent something.
  if (headers.authorization === undefined)
    return challenged('This server requires a token: Authorization: Bearer TOKEN.');
  const client = sent === undefined ? undefined : rules.tokens?.find(sent);
  if (client !== undefined) return { client };
  const oauth = await rules.oauth?.clients();
  if (sent === undefined || !oauth?.takes(sent))
    return challenged('The token is not the one of this server.', ', error="invalid_token"');
  const verdict = await oauth.verify(sent);
  if ('client' in verdict) return verdict;
  const { refused, why } = verdict;
  if (refused === 'unavailable') return { answer: refusal(503, why) };
  return refused === 'scope'
    ? challenged(why, `, error="insufficient_scope", scope="${SCOPES.join(' ')}"`, 403)
    : challenged(why, ', error="invalid_token"');
}

export const refusal = (status: Answer['status'], message: string): Answer => ({
  status,
  body: { jsonrpc: '2.0', id: null, error: { code: -32_000, message } },
});

/** A client is told the address by which it reached this server: a proxy's, if one is configured. */
const addressFor = ({ url }: AccessRules, host: string | undefined): URL => {
  const own = url();
  return parse(`${own.protocol}//${host}${own.pathname}`) ?? own;
};

const metadataAddress = (rules: AccessRules, host: string | undefined): string => {
  const { origin, pathname } = addressFor(rules, host);
  return `${origin}${METADATA}${pathname}`;
};

const metadataFor = (rules: AccessRules, host: string | undefined) => ({
  resource: addressFor(rules, host).href,
  resource_name: 'qmcp',
  bearer_methods_supported: ['header'],
  // Without OAuth, the operator gives out the token; no authorization server issues it.
  ...(rules.oauth && { authorization_servers: [rules.oauth.issuer], scopes_supported: SCOPES }),
});

function isNamed(host: string | undefined, names: readonly string[]): boolean {
  const address = parse(`http://${host}`);
  return host !== undefined && address !== undefined && names.includes(address.hostname);
}

/** Another port of this machine is another origin: its pages may belong to another program. */
function isOwnOrigin(origin: string, { names, url }: AccessRules): boolean {
  const [address, own] = [parse(origin), url()];
  return (
    address?.origin === origin &&
    address.protocol === own.protocol &&
    names.includes(address.hostname) &&
    address.port === own.port
  );
}

function parse(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}
