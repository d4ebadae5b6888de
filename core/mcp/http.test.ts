import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { ask as askAt, MCP as mcp, messageIn as messageOf } from '../../test/support/http.js';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import { gate } from '../../test/support/waiting.js';
import { parseTokens } from './clients.js';
import { type HttpListener, serveHttp } from './http.js';

const TOKEN = 'a-token-of-the-operator';
const nothing = { tools: [], resources: [], prompts: [], changes: [] };
const logged: string[] = [];
const serving = {
  ...nothing,
  host: '127.0.0.1',
  port: 0,
  version: '1',
  log: (line: string) => logged.push(line),
};

let open: HttpListener;
let closed: HttpListener;
beforeAll(async () => {
  open = await serveHttp({ ...serving });
  closed = await serveHttp({ ...serving, tokens: parseTokens(TOKEN) });
});
afterAll(async () => {
  await open.close();
  await closed.close();
});

const ask = (
  { url }: HttpListener,
  ...rest: Parameters<typeof askAt> extends [string, ...infer R] ? R : never
) => askAt(url, ...rest);

describe('who may call the HTTP server', () => {
  test('a request with the token is served, whatever the case of the scheme', async () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER'])
      expect((await ask(closed, { ...mcp, authorization: `${scheme} ${TOKEN}` })).status).toBe(200);
  });

  test('a request without the right token gets 401 with a challenge and a body that says what is missing', async () => {
    const without = await ask(closed, mcp);
    expect(without.status).toBe(401);
    expect(without.headers['content-type']).toBe('application/json');
    expect(without.headers['www-authenticate']).toMatch(/^Bearer realm="qmcp", resource_metadata="http:/);
    expect(messageOf(without)).toContain('Authorization: Bearer TOKEN');
    for (const authorization of ['Bearer wrong', TOKEN, `Bearer ${TOKEN}x`, `Basic ${TOKEN}`, 'Bearer', '']) {
      const refused = await ask(closed, { ...mcp, authorization });
      expect([authorization, refused.status]).toEqual([authorization, 401]);
      expect(refused.headers['www-authenticate']).toContain('error="invalid_token"');
      expect(messageOf(refused)).toContain('not the one of this server');
      expect(refused.body).not.toContain(TOKEN);
    }
  });

  test('a client without a token can read how to send one, and nothing else below /.well-known', async () => {
    const get = (path: string) => ask(closed, {}, { path, method: 'GET' });
    for (const path of ['', '/mcp']) {
      const metadata = await get(`/.well-known/oauth-protected-resource${path}`);
      expect(metadata.status).toBe(200);
      expect(JSON.parse(metadata.body)).toEqual({
        resource: closed.url,
        resource_name: 'qmcp',
        bearer_methods_supported: ['header'],
      });
    }
    expect((await get('/.well-known/oauth-authorization-server')).status).toBe(404);
    expect(
      (await ask(open, {}, { path: '/.well-known/oauth-protected-resource', method: 'GET' })).status,
    ).toBe(404);
  });

  test('a page of another origin gets 403 with a reason, and a page on another port is of another origin', async () => {
    const { port, origin: own } = new URL(open.url);
    for (const origin of [own, `http://localhost:${port}`, `http://[::1]:${port}`])
      expect([origin, (await ask(open, { ...mcp, origin })).status]).toEqual([origin, 200]);
    const foreign = [
      'https://attacker.example',
      `http://attacker.example:${port}`,
      `http://localhost:${Number(port) + 1}`,
      'http://localhost',
      `https://localhost:${port}`,
      `http://localhost:${port}/`,
      `http://localhost:${port}@attacker.example`,
      'null',
      '',
    ];
    for (const origin of foreign) {
      const refused = await ask(open, { ...mcp, origin });
      expect([origin, refused.status]).toEqual([origin, 403]);
      expect(messageOf(refused)).toContain('Origin');
    }
  });

  test('a request for another host name gets 403 with the names of this one, before its token is looked at', async () => {
    for (const host of ['attacker.example', 'localhost.attacker.example', '127.0.0.1.attacker.example']) {
      const refused = await ask(closed, { ...mcp, host, authorization: `Bearer ${TOKEN}` });
      expect([host, refused.status]).toEqual([host, 403]);
      expect(messageOf(refused)).toContain('localhost');
    }
  });

  test('a request for another path gets 404, which says where MCP is served', async () => {
    const lost = await ask(open, mcp, { path: '/' });
    expect(lost.status).toBe(404);
    expect(messageOf(lost)).toContain('/mcp');
    expect((await ask(open, mcp, { path: '/mcp?x=1' })).status).toBe(200);
  });
});

describe('the end of an HTTP server', () => {
  const body = JSON.stringify({
    jsonrpc: '2.0',
    id: 1,
    method: 'tools/call',
    params: { name: 'say', arguments: {} },
  });

  /** A server with a call in progress. */
  async function during() {
    const [begun, end] = [gate(), gate()];
    const call = async () => {
      begun.open();
      await end.opened;
      return { word: 'done' };
    };
    const tools = [{ plugin: 'a', tool: toolOf('say', serviceOf('a')), call }];
    const listener = await serveHttp({ ...serving, tools });
    const answer = ask(listener, mcp, { body }).catch(() => 'dropped' as const);
    await begun.opened;
    return { listener, answer, end };
  }

  test('comes after the answers to the calls in progress', async () => {
    const { listener, answer, end } = await during();
    const closed = listener.close();
    end.open();
    await closed;
    expect(await answer).toMatchObject({ status: 200, body: expect.stringContaining('"word":"done"') });
    await expect(ask(listener, mcp)).rejects.toThrow();
  });

  test('does not wait for ever for a call', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const { listener, answer } = await during();
    const closed = listener.close();
    vi.runOnlyPendingTimers();
    await closed;
    expect(JSON.stringify(await answer)).not.toContain('done');
  });
});
