/** Decides which HTTP requests reach MCP. Every other one gets an answer with a body that says why. */
import { createHash, timingSafeEqual } from 'node:crypto';

/** The only path that serves MCP. */
export const PATH = '/mcp';
/** Where a client looks for the rules of a protected resource: RFC 9728. Anybody may read it. */
const METADATA = ['/.well-known/oauth-protected-resource', `/.well-known/oauth-protected-resource${PATH}`];

export interface AccessRules {
  /** The host names under which this server is reached; IPv6 in brackets. */
  readonly names: readonly string[];
  /** The port it listens on. */
  readonly port: () => number;
  /** Without a token, every request from this machine is served. */
  readonly token: string | undefined;
}

/** An answer other than MCP's. */
interface Answer {
  readonly status: 200 | 401 | 403 | 404;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: unknown;
}

/** The part of a request that decides. */
interface Request {
  readonly url?: string | undefined;
  readonly headers: {
    readonly host?: string | undefined;
    readonly origin?: string | undefined;
    readonly authorization?: string | undefined;
  };
}

/** The answer to a request that does not reach MCP; undefined for one that does. */
export function refuseAccess({ headers, url = '' }: Request, rules: AccessRules): Answer | undefined {
  const { names, token } = rules;
  // These two come first, so that a web page learns nothing, not even whether there is a token.
  if (!isNamed(headers.host, names))
    return refusal(403, `This server answers only requests for ${names.join(', ')}; check the Host header.`);
  if (headers.origin !== undefined && !isOwnOrigin(headers.origin, rules))
    return refusal(403, 'Pages of other origins may not call this server; check the Origin header.');
  const path = url.split('?')[0]!;
  if (METADATA.includes(path) && token !== undefined)
    return { status: 200, body: metadataFor(originOf(headers.host)) };
  if (path.startsWith('/.well-known/')) return refusal(404, 'There is nothing here.');
  if (token !== undefined && !hasToken(headers.authorization, token)) return unauthorized(headers);
  if (path !== PATH) return refusal(404, `MCP is served at ${PATH}.`);
  return undefined;
}

const refusal = (status: Answer['status'], message: string): Answer => ({
  status,
  body: { jsonrpc: '2.0', id: null, error: { code: -32_000, message } },
});

/** RFC 6750: the challenge has an error code only if the client sent a token. */
function unauthorized({ authorization, host }: Request['headers']): Answer {
  const sent = authorization !== undefined;
  const reason = sent ? ', error="invalid_token"' : '';
  const challenge = `Bearer realm="qmcp"${reason}, resource_metadata="${originOf(host)}${METADATA[1]}"`;
  const message = sent
    ? 'The token is not the one of this server.'
    : 'This server requires a token: Authorization: Bearer TOKEN.';
  return { ...refusal(401, message), headers: { 'www-authenticate': challenge } };
}

const metadataFor = (origin: string | undefined) => ({
  resource: `${origin}${PATH}`,
  resource_name: 'qmcp',
  // The operator gives out the token; no authorization server issues it.
  bearer_methods_supported: ['header'],
});

/** The address by which the client reached this server. */
const originOf = (host: string | undefined) => parse(`http://${host}`)?.origin;

function isNamed(host: string | undefined, names: readonly string[]): boolean {
  const address = parse(`http://${host}`);
  return host !== undefined && address !== undefined && names.includes(address.hostname);
}

/** Another port of this machine is another origin: its pages may belong to another program. */
function isOwnOrigin(origin: string, { names, port }: AccessRules): boolean {
  const address = parse(origin);
  return (
    address?.origin === origin &&
    address.protocol === 'http:' &&
    names.includes(address.hostname) &&
    Number(address.port || 80) === port()
  );
}

function parse(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    return undefined;
  }
}

/** The name of the scheme may be in any case: RFC 7235. The token is compared in constant time. */
function hasToken(authorization: string | undefined, token: string): boolean {
  const [, sent = ''] = /^bearer +(\S+)$/i.exec(authorization ?? '') ?? [];
  const hash = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(sent), hash(token));
}
