import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterEach, describe, expect, test } from 'vitest';
import { ask, MCP, messageIn, resultIn } from '../../test/support/http.js';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import { CERTIFICATE, KEY } from '../../test/support/tls.js';
import { gate } from '../../test/support/waiting.js';
import { type Session, type ToolContext, Type } from '../api/index.js';
import { backgroundTools, withBackground } from '../serve/background.js';
import { BackgroundCalls } from '../serve/calls.js';
import { parseTokens } from './clients.js';
import { type HttpListener, type HttpSettings, serveHttp, TokenRequired } from './http.js';

const [A, B] = ['a', 'b'].map((letter) => letter.repeat(16)) as [string, string];
const TOKENS = parseTokens(`ada ${A}\nbob ${B} read-only`);
const open: HttpListener[] = [];
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close();
});

type Run = (context: ToolContext) => Promise<Record<string, unknown>>;

/** A server with a tool that reads and a slow one that writes. */
async function serving(settings: Partial<HttpSettings> = {}, run: Run = async () => ({ word: 'x' })) {
  const calls = new BackgroundCalls();
  const call = (_input: unknown, context: ToolContext) => run(context);
  const service = serviceOf('a');
  const input = Type.Object({});
  const tools = [
    { plugin: 'a', tool: toolOf('a_look', service, { effect: 'read', input }), call },
    { plugin: 'a', tool: toolOf('a_say', service, { slow: true, input }), call },
  ];
  const served = [...withBackground(tools, calls), ...backgroundTools(calls)];
  const surface = { tools: served, calls, resources: [], prompts: [], changes: [] };
  const options = { ...surface, version: '1', log: () => {}, host: '127.0.0.1', port: 0 };
  const listener = await serveHttp({ ...options, ...settings });
  open.push(listener);
  return listener.url;
}

const bearer = (token: string) => ({ ...MCP, authorization: `Bearer ${token}` });
const request = (method: string, params: object = {}) =>
  JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
const calling = (name: string, args: object = {}) => request('tools/call', { name, arguments: args });
const INITIALIZE = request('initialize', {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'test', version: '0' },
});

async function begin(url: string, headers: Record<string, string>): Promise<Record<string, string>> {
  const answer = await ask(url, headers, { body: INITIALIZE });
  expect(answer.status).toBe(200);
  return { ...headers, 'mcp-session-id': String(answer.headers['mcp-session-id']) };
}

describe('a client with a token of its own', () => {
  test('is offered the tools that the token is good for, and can call no other', async () => {
    const url = await serving({ tokens: TOKENS });
    const namesFor = async (token: string) =>
      (resultIn(await ask(url, bearer(token))).tools as { name: string }[]).map(({ name }) => name);
    expect(await namesFor(A)).toEqual(['a_look', 'a_say', 'call_result', 'call_stop']);
    expect(await namesFor(B)).toEqual(['a_look', 'call_result']);
    const refused = await ask(url, bearer(B), { body: calling('a_say') });
    const missing = await ask(url, bearer(B), { body: calling('a_shout') });
    expect(refused.body.replace('a_say', '')).toBe(missing.body.replace('a_shout', ''));
    expect(refused.body).toContain('Unknown tool');
  });

  test('cannot use the session of another one, and is told what it would be told of none', async () => {
    const url = await serving({ tokens: TOKENS });
    const mine = await begin(url, bearer(A));
    const stolen = { ...bearer(B), 'mcp-session-id': mine['mcp-session-id']! };
    const unknown = { ...bearer(B), 'mcp-session-id': '00000000-0000-0000-0000-000000000000' };
    const [first, second] = [await ask(url, stolen), await ask(url, unknown)];
    expect(first.status).toBe(404);
    expect(first.body).toBe(second.body);
    expect((await ask(url, stolen, { method: 'DELETE' })).status).toBe(404);
    expect((await ask(url, mine)).status).toBe(200);
  });

  test('finds its background calls in a new session and in a request that stands alone, and no other client does', async () => {
    const end = gate();
    const url = await serving({ tokens: parseTokens(`ada ${A}\nbob ${B}`) }, async () => {
      await end.opened;
      return { word: 'done' };
    });
    const begun = await ask(url, await begin(url, bearer(A)), {
      body: calling('a_say', { background: true }),
    });
    const { handle } = resultIn(begun).structuredContent as { handle: string };
    const body = calling('call_result', { handle });
    const foreign = resultIn(await ask(url, bearer(B), { body }));
    expect(foreign.structuredContent).toEqual({ error: { code: 'not-found' } });
    for (const headers of [bearer(A), await begin(url, bearer(A))])
      expect(resultIn(await ask(url, headers, { body })).structuredContent).toMatchObject({ running: true });
    end.open();
  });
});

describe('what plugins keep', () => {
  /** The session in which each request was answered. */
  async function sessionsOf(settings: Partial<HttpSettings>, ask: (url: string) => Promise<unknown>) {
    const seen: (Session | undefined)[] = [];
    const url = await serving(settings, async ({ session }) => {
      seen.push(session);
      return { word: 'x' };
    });
    await ask(url);
    return seen as Session[];
  }
  const body = calling('a_look');

  test('without tokens belongs to a session, and requests that stand alone share one that lists nothing', async () => {
    const [one, again, other, alone, alsoAlone] = await sessionsOf({}, async (url) => {
      const [mine, foreign] = [await begin(url, MCP), await begin(url, MCP)];
      for (const headers of [mine, mine, foreign, MCP, MCP]) await ask(url, headers, { body });
    });
    expect(one).toBe(again);
    expect(one).not.toBe(other);
    expect(one!.isShared).toBeUndefined();
    expect(alone).toBe(alsoAlone);
    expect(alone).toEqual({ isShared: true });
  });

  test('with tokens belongs to the token in either era', async () => {
    const [one, session, other] = await sessionsOf({ tokens: TOKENS }, async (url) => {
      for (const headers of [bearer(A), await begin(url, bearer(A)), bearer(B)])
        await ask(url, headers, { body });
    });
    expect(one).toBe(session);
    expect(one).not.toBe(other);
    expect(one!.isShared).toBeUndefined();
  });

  test('belongs to everybody if the operator says so', async () => {
    const [one, session, other] = await sessionsOf({ tokens: TOKENS, isStateShared: true }, async (url) => {
      for (const headers of [bearer(A), await begin(url, bearer(A)), bearer(B)])
        await ask(url, headers, { body });
    });
    expect(new Set([one, session, other]).size).toBe(1);
    expect(one!.isShared).toBeUndefined();
  });

  test('of a session without a token ends with it, its background calls included', async () => {
    const stopped = gate();
    const url = await serving({}, ({ signal }) => {
      signal.addEventListener('abort', () => stopped.open());
      return stopped.opened.then(() => ({ word: 'x' }));
    });
    const mine = await begin(url, MCP);
    await ask(url, mine, { body: calling('a_say', { background: true }) });
    expect((await ask(url, mine, { method: 'DELETE' })).status).toBe(200);
    await stopped.opened;
  });
});

describe('a client that asks for too much', () => {
  test('gets 429 with the time to wait, and another client does not', async () => {
    const url = await serving({ tokens: TOKENS, limits: { requestsPerMinute: 2 } });
    for (const _ of [1, 2]) expect((await ask(url, bearer(A))).status).toBe(200);
    const refused = await ask(url, bearer(A));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(messageIn(refused)).toMatch(/too many requests; wait \d+ s/);
    expect((await ask(url, bearer(B))).status).toBe(200);
  });

  test('has only so many requests in progress', async () => {
    const [begun, end] = [gate(), gate()];
    const url = await serving({ limits: { concurrentRequests: 1 } }, async () => {
      begun.open();
      await end.opened;
      return { word: 'x' };
    });
    const first = ask(url, MCP, { body: calling('a_look') });
    await begun.opened;
    expect((await ask(url, MCP)).status).toBe(429);
    end.open();
    expect((await first).status).toBe(200);
  });

  test('gets 413 for a body that is too large, and 431 for a head that is', async () => {
    const url = await serving();
    const large = `{"jsonrpc":"2.0","id":1,"method":"${'x'.repeat(9 << 20)}"}`;
    const refused = await ask(url, MCP, { body: large }).catch(() => ({ status: 413 }));
    expect(refused.status).toBe(413);
    const head = await ask(url, { ...MCP, 'x-more': 'x'.repeat(32 << 10) });
    expect(head.status).toBe(431);
    expect((await ask(url, MCP)).status).toBe(200);
  });
});

describe('a web page', () => {
  const origin = 'https://app.example';
  const preflight = { origin, 'access-control-request-method': 'POST' };

  test('of an origin that the operator allows may call, and read the session', async () => {
    const url = await serving({ tokens: TOKENS, origins: [origin] });
    const asked = await ask(url, preflight, { method: 'OPTIONS' });
    expect(asked.status).toBe(204);
    expect(asked.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': expect.stringContaining('DELETE'),
      'access-control-allow-headers': expect.stringContaining('authorization'),
      vary: 'Origin',
    });
    const answer = await ask(url, { ...bearer(A), origin }, { body: INITIALIZE });
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-expose-headers': expect.stringContaining('mcp-session-id'),
    });
    // A page must be able to read why it was refused.
    const refused = await ask(url, { ...MCP, origin });
    expect([refused.status, refused.headers['access-control-allow-origin']]).toEqual([401, origin]);
  });

  test('of any other origin may not even ask', async () => {
    for (const origins of [undefined, ['https://other.example']]) {
      const url = await serving({ origins });
      const refused = await ask(url, preflight, { method: 'OPTIONS' });
      expect(refused.status).toBe(403);
      expect(refused.headers).not.toHaveProperty('access-control-allow-origin');
    }
  });
});

describe('a server', () => {
  test('says without a token whether it is alive, and nothing else', async () => {
    const url = await serving({ tokens: TOKENS });
    const health = await ask(url, {}, { path: '/healthz', method: 'GET' });
    expect([health.status, JSON.parse(health.body)]).toEqual([200, { status: 'ok' }]);
    const foreign = await ask(url, { host: 'attacker.example' }, { path: '/healthz', method: 'GET' });
    expect(foreign.status).toBe(403);
  });

  test('with a certificate serves over TLS, and its own origin is https', async () => {
    const url = await serving({ tls: { certificate: CERTIFICATE, key: KEY } });
    expect(url).toMatch(/^https:/);
    expect((await ask(url, MCP)).status).toBe(200);
    const { origin, port } = new URL(url);
    expect((await ask(url, { ...MCP, origin })).status).toBe(200);
    expect((await ask(url, { ...MCP, origin: `http://127.0.0.1:${port}` })).status).toBe(403);
  });

  test('listens for other machines only with tokens, and only if they are encrypted on the way', async () => {
    const elsewhere = { host: '0.0.0.0' };
    await expect(serving(elsewhere)).rejects.toThrow(TokenRequired);
    await expect(serving({ ...elsewhere, tokens: TOKENS })).rejects.toThrow('could read the tokens');
    const proxied = { ...elsewhere, tokens: TOKENS, publicUrl: 'https://qmcp.example/mcp' };
    const { port } = new URL(await serving(proxied));
    expect((await ask(`http://127.0.0.1:${port}/mcp`, bearer(A))).status).toBe(200);
    const tls = { certificate: CERTIFICATE, key: KEY };
    expect(await serving({ ...elsewhere, tokens: TOKENS, tls })).toMatch(/^https:/);
  });

  test('behind a proxy tells clients the address of the proxy', async () => {
    const url = await serving({ tokens: TOKENS, publicUrl: 'https://qmcp.example/mcp' });
    const proxied = { ...MCP, host: 'qmcp.example' };
    const refused = await ask(url, proxied);
    expect(refused.headers['www-authenticate']).toContain(
      'resource_metadata="https://qmcp.example/.well-known/oauth-protected-resource/mcp"',
    );
    const path = '/.well-known/oauth-protected-resource/mcp';
    const metadata = await ask(url, { host: 'qmcp.example' }, { path, method: 'GET' });
    expect(JSON.parse(metadata.body)).toMatchObject({ resource: 'https://qmcp.example/mcp' });
    expect((await ask(url, { ...proxied, ...bearer(A), origin: 'https://qmcp.example' })).status).toBe(200);
  });
});

describe('a server with an authorization server', () => {
  const issuer = 'https://issuer.example';

  async function withOAuth() {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const jwks = { keys: [{ ...(await exportJWK(publicKey)), alg: 'ES256' }] };
    const url = await serving({ tokens: TOKENS, oauth: { issuer, keys: { jwks } } });
    const token = (scope: string, audience = url) =>
      new SignJWT({ scope })
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject('ada')
        .setExpirationTime('1h')
        .sign(privateKey);
    return { url, token };
  }

  test('takes its tokens beside those of the operator, each for its scope', async () => {
    const { url, token } = await withOAuth();
    const names = async (sent: string) =>
      (resultIn(await ask(url, bearer(sent))).tools as { name: string }[]).map(({ name }) => name);
    expect(await names(await token('qmcp:call'))).toContain('a_say');
    expect(await names(await token('qmcp:read'))).not.toContain('a_say');
    expect(await names(A)).toContain('a_say');
  });

  test('answers 401 to a token for another server, and 403 to one without a scope, with the reason', async () => {
    const { url, token } = await withOAuth();
    const foreign = await ask(url, bearer(await token('qmcp:call', 'https://other.example/mcp')));
    expect([foreign.status, messageIn(foreign)]).toEqual([401, expect.stringContaining('claim aud')]);
    const narrow = await ask(url, bearer(await token('openid')));
    expect([narrow.status, messageIn(narrow)]).toEqual([403, expect.stringContaining('qmcp:read')]);
    expect(narrow.headers['www-authenticate']).toContain('error="insufficient_scope"');
    expect(narrow.headers['www-authenticate']).toContain('scope="qmcp:read qmcp:call"');
  });

  test('tells clients where to get a token', async () => {
    const { url } = await withOAuth();
    const path = '/.well-known/oauth-protected-resource/mcp';
    expect(JSON.parse((await ask(url, {}, { path, method: 'GET' })).body)).toEqual({
      resource: url,
      resource_name: 'qmcp',
      bearer_methods_supported: ['header'],
      authorization_servers: [issuer],
      scopes_supported: ['qmcp:read', 'qmcp:call'],
    });
  });

  test('does not start with malformed keys', async () => {
    await expect(serving({ oauth: { issuer, keys: { jwks: [] } } })).rejects.toThrow();
  });
});
