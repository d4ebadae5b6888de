import { afterEach, describe, expect, test, vi } from 'vitest';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import { gate, turn } from '../../test/support/waiting.js';
import { Refused, type ToolContext } from '../api/index.js';
import { type Client, EVERYTHING } from './clients.js';
import { RecentEvents } from './recent-events.js';
import { Sessions } from './sessions.js';

const CLIENT: Client = { name: 'test', rights: EVERYTHING, session: undefined };
type Run = (context: ToolContext) => Promise<Record<string, unknown>>;
const open: Sessions[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const sessions of open.splice(0)) await sessions.close();
});

function sessionsWith(run: Run = async () => ({ word: 'x' })) {
  const tool = toolOf('say', serviceOf('a'));
  const tools = [{ plugin: 'a', tool, call: (_input: unknown, context: ToolContext) => run(context) }];
  let told = 0;
  const options = { tools, resources: [], prompts: [], changes: [], version: '1', log: () => {} };
  const sessions = new Sessions(
    () => ({ ...options, session: {} }),
    () => {
      told += 1;
    },
  );
  open.push(sessions);
  return { sessions, told: () => told };
}

const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const asked = (body: unknown, more: Record<string, string> = {}) =>
  new Request('http://localhost/mcp', {
    method: 'POST',
    headers: { ...headers, ...more },
    body: JSON.stringify(body),
  });
const without = (method: 'GET' | 'DELETE', more: Record<string, string>) =>
  new Request('http://localhost/mcp', { method, headers: { ...headers, ...more } });
const initialize = {
  jsonrpc: '2.0',
  id: 0,
  method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '0' } },
};
const calling = (id: number) => ({
  jsonrpc: '2.0',
  id,
  method: 'tools/call',
  params: { name: 'say', arguments: {} },
});

/** The messages in a body that ends, or the first `count` of one that goes on, each with the id of its event. */
async function messagesIn(response: Response, count = Number.POSITIVE_INFINITY) {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const events: { id?: string; data?: { id?: unknown; result?: unknown; params?: unknown } }[] = [];
  let text = '';
  while (events.length < count) {
    const { done, value } = await reader.read();
    if (done) break;
    text += value;
    const parts = text.split('\n\n');
    text = parts.pop()!;
    for (const part of parts) {
      const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(part)?.[1];
      const [id, data] = [field('id'), field('data')];
      events.push({ ...(id && { id }), ...(data && { data: JSON.parse(data) }) });
    }
  }
  return { events, leave: () => reader.cancel() };
}

async function begin(sessions: Sessions): Promise<Record<string, string>> {
  const response = await sessions.fetch(asked(initialize), initialize, CLIENT);
  const id = response.headers.get('mcp-session-id')!;
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  await messagesIn(response);
  return { 'mcp-session-id': id, 'mcp-protocol-version': '2025-11-25' };
}
const post = (sessions: Sessions, session: Record<string, string>, body: unknown) =>
  sessions.fetch(asked(body, session), body, CLIENT);

describe('a session over HTTP', () => {
  test('begins with an initialize request, and takes only requests that name it', async () => {
    const { sessions } = sessionsWith();
    expect(sessions.takes(asked(initialize), initialize)).toBe(true);
    expect(sessions.takes(asked(calling(1)), calling(1))).toBe(false);
    const mine = await begin(sessions);
    expect(sessions.takes(asked(calling(1), mine), calling(1))).toBe(true);
    const { events } = await messagesIn(await post(sessions, mine, calling(1)));
    expect(events.at(-1)!.data).toMatchObject({ id: 1, result: { structuredContent: { word: 'x' } } });
    const unknown = { ...mine, 'mcp-session-id': '00000000-0000-0000-0000-000000000000' };
    expect((await post(sessions, unknown, calling(1))).status).toBe(404);
  });

  test('lets its client cancel a call, and nobody else', async () => {
    const [begun, stopped] = [gate(), gate()];
    const { sessions } = sessionsWith(
      ({ signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            stopped.open();
            reject(new Refused('failed'));
          });
          begun.open();
        }),
    );
    const [mine, other] = [await begin(sessions), await begin(sessions)];
    const call = await post(sessions, mine, calling(1));
    await begun.opened;
    const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } };
    let over = false;
    stopped.opened.then(() => {
      over = true;
    });
    expect((await post(sessions, other, cancel)).status).toBe(202);
    await turn();
    expect(over).toBe(false);
    expect((await post(sessions, mine, cancel)).status).toBe(202);
    await stopped.opened;
    await call.body!.cancel();
  });

  test('is told to plugins by identity: one for its calls, another for those of others', async () => {
    const seen: unknown[] = [];
    const { sessions } = sessionsWith(async ({ session }) => {
      if (!seen.includes(session)) seen.push(session);
      return { word: String(seen.indexOf(session)) };
    });
    const [mine, other] = [await begin(sessions), await begin(sessions)];
    const words: unknown[] = [];
    for (const who of [mine, other, mine]) {
      const { events } = await messagesIn(await post(sessions, who, calling(1)));
      words.push(
        (events.at(-1)!.data!.result as { structuredContent: { word: string } }).structuredContent.word,
      );
    }
    expect(words).toEqual(['0', '1', '0']);
  });

  test('ends when its client says so, and its calls with it', async () => {
    const [begun, stopped] = [gate(), gate()];
    const { sessions } = sessionsWith(
      ({ signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            stopped.open();
            reject(new Refused('failed'));
          });
          begun.open();
        }),
    );
    const mine = await begin(sessions);
    const call = await post(sessions, mine, calling(1));
    await begun.opened;
    expect((await sessions.fetch(without('DELETE', mine), undefined, CLIENT)).status).toBe(200);
    await stopped.opened;
    expect((await messagesIn(call)).events.filter(({ data }) => data)).toEqual([]);
    expect((await post(sessions, mine, calling(2))).status).toBe(404);
  });

  test('gives the answer to a client whose stream broke off, from the event it had last', async () => {
    const end = gate();
    const { sessions } = sessionsWith(async () => {
      await end.opened;
      return { word: 'late' };
    });
    const mine = await begin(sessions);
    const { events, leave } = await messagesIn(await post(sessions, mine, calling(1)), 1);
    await leave();
    end.open();
    await turn();
    const resumed = await sessions.fetch(
      without('GET', { ...mine, 'last-event-id': events[0]!.id! }),
      undefined,
      CLIENT,
    );
    const { events: rest } = await messagesIn(resumed);
    expect(rest.map(({ data }) => data)).toMatchObject([
      { id: 1, result: { structuredContent: { word: 'late' } } },
    ]);
    const lost = await sessions.fetch(without('GET', { ...mine, 'last-event-id': '999' }), undefined, CLIENT);
    expect(lost.status).toBe(400);
  });

  test('hears of the changes that it subscribed to, while it has a stream', async () => {
    const { sessions, told } = sessionsWith();
    const mine = await begin(sessions);
    const subscribe = { jsonrpc: '2.0', id: 1, method: 'resources/subscribe', params: { uri: 'word://one' } };
    await messagesIn(await post(sessions, mine, subscribe));
    expect(sessions.isListening).toBe(false);
    const before = told();
    const stream = await sessions.fetch(without('GET', mine), undefined, CLIENT);
    expect(sessions.isListening).toBe(true);
    expect(told()).toBeGreaterThan(before);
    for (const uri of ['word://two', 'word://one']) sessions.changed(uri);
    const { events, leave } = await messagesIn(stream, 1);
    expect(events[0]!.data!.params).toEqual({ uri: 'word://one' });
    await leave();
    expect(sessions.isListening).toBe(false);
  });

  test('ends after half an hour without a request, unless a stream is open', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { sessions } = sessionsWith();
    const [idle, listening] = [await begin(sessions), await begin(sessions)];
    const stream = await sessions.fetch(without('GET', listening), undefined, CLIENT);
    vi.advanceTimersByTime(29 * 60_000);
    await messagesIn(await post(sessions, idle, calling(1)));
    vi.advanceTimersByTime(29 * 60_000);
    expect((await post(sessions, idle, { jsonrpc: '2.0', method: 'notifications/initialized' })).status).toBe(
      202,
    );
    vi.advanceTimersByTime(30 * 60_000);
    await turn();
    expect((await post(sessions, idle, calling(2))).status).toBe(404);
    await messagesIn(await post(sessions, listening, calling(1)));
    await stream.body!.cancel();
    vi.advanceTimersByTime(30 * 60_000);
    await turn();
    expect((await post(sessions, listening, calling(2))).status).toBe(404);
  });

  test('makes room for a new one when it is idle; none is opened if all are in use', async () => {
    const { sessions } = sessionsWith();
    const all: Record<string, string>[] = [];
    for (let n = 0; n < 64; n += 1) all.push(await begin(sessions));
    // The first is used again, so that the second is the one to go.
    await messagesIn(await post(sessions, all[0]!, calling(1)));
    await begin(sessions);
    expect((await post(sessions, all[1]!, calling(1))).status).toBe(404);
    await messagesIn(await post(sessions, all[0]!, calling(2)));
    const { sessions: full } = sessionsWith();
    const streams: Response[] = [];
    for (let n = 0; n < 64; n += 1)
      streams.push(await full.fetch(without('GET', await begin(full)), undefined, CLIENT));
    const refused = await full.fetch(asked(initialize), initialize, CLIENT);
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({
      error: { message: expect.stringContaining('Too many sessions') },
    });
    for (const stream of streams) await stream.body!.cancel();
  });

  test('does not begin with an initialize request that is malformed', async () => {
    const { sessions } = sessionsWith();
    for (let n = 0; n < 70; n += 1) {
      const refused = await sessions.fetch(asked(initialize, { accept: 'text/html' }), initialize, CLIENT);
      expect(refused.status).toBe(406);
    }
    await begin(sessions);
  });
});

describe('the events that a session keeps', () => {
  const message = (text: string) => ({
    jsonrpc: '2.0' as const,
    method: 'notifications/message',
    params: { text },
  });
  const replay = async (events: RecentEvents, id: string) => {
    const sent: string[] = [];
    const stream = await events.replayEventsAfter(id, { send: async (event) => void sent.push(event) });
    return { stream, sent };
  };

  test('are given again in their order, those of the same stream only', async () => {
    const events = new RecentEvents();
    for (const stream of ['a', 'b', 'a', 'a']) await events.storeEvent(stream, message('x'));
    expect(await replay(events, '1')).toEqual({ stream: 'a', sent: ['3', '4'] });
    expect(await events.getStreamIdForEventId('2')).toBe('b');
    expect(await events.getStreamIdForEventId('9')).toBeUndefined();
  });

  test('are bounded in number and in size', async () => {
    const many = new RecentEvents();
    for (let n = 0; n < 300; n += 1) await many.storeEvent('a', message('x'));
    expect(await many.getStreamIdForEventId('44')).toBeUndefined();
    expect((await replay(many, '45')).sent).toHaveLength(255);
    const large = new RecentEvents();
    for (let n = 0; n < 6; n += 1) await large.storeEvent('a', message('x'.repeat(1 << 20)));
    expect(await large.getStreamIdForEventId('3')).toBeUndefined();
    expect(await large.getStreamIdForEventId('4')).toBe('a');
  });
});
