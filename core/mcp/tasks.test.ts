import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import { gate, turn } from '../../test/support/waiting.js';
import { Refused, type ToolContext } from '../api/index.js';
import { withBackground } from '../serve/background.js';
import { BackgroundCalls } from '../serve/calls.js';
import { type HttpListener, serveHttp } from './http.js';

type Run = (context: ToolContext) => Promise<Record<string, unknown>>;
const open: HttpListener[] = [];
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close();
});

/** A server with a slow tool `say` and a fast tool `ask`, which do the same. */
async function serving(run: Run) {
  const calls = new BackgroundCalls();
  const call = (_input: unknown, context: ToolContext) => run(context);
  const service = serviceOf('a');
  const tools = withBackground(
    [
      { plugin: 'a', tool: toolOf('say', service, { slow: true }), call },
      { plugin: 'a', tool: toolOf('ask', service), call },
    ],
    calls,
  );
  const nothing = { resources: [], prompts: [], changes: [] };
  const options = { ...nothing, tools, calls, version: '1', log: () => {} };
  const listener = await serveHttp({ ...options, host: '127.0.0.1', port: 0 });
  open.push(listener);
  return { url: listener.url, calls };
}

type Message = { id?: unknown; result?: Record<string, unknown>; error?: { code: number; message: string } };
const given = { name: 'say', arguments: { qube: 'x' } };
const capabilities = (extensions: object) => ({
  'io.modelcontextprotocol/clientCapabilities': { extensions },
});
const DECLARED = capabilities({ 'io.modelcontextprotocol/tasks': {} });

/** The answer to a request of the later era, whose requests stand alone. */
async function modern(url: string, method: string, params: object, declared: object = DECLARED) {
  const _meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'test', version: '0' },
    ...declared,
  };
  const name = 'taskId' in params ? params.taskId : 'name' in params ? params.name : undefined;
  const headers = {
    'mcp-protocol-version': '2026-07-28',
    'mcp-method': method,
    ...(name !== undefined && { 'mcp-name': String(name) }),
  };
  return (await answersOf(url, headers, { method, params: { ...params, _meta } })).at(-1)!;
}

async function answersOf(url: string, headers: Record<string, string>, request: object): Promise<Message[]> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      ...headers,
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, ...request }),
  });
  const text = await response.text();
  if (!text.includes('data:')) return [JSON.parse(text)];
  return [...text.matchAll(/^data: ?(\{.*)$/gm)].map(([, data]) => JSON.parse(data!));
}

/** A session of the era of 2025. */
async function session(url: string) {
  const begun = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 0,
      method: 'initialize',
      params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '0' } },
    }),
  });
  const [, data] = /^data: ?(\{.*)$/m.exec(await begun.text())!;
  const headers = {
    'mcp-session-id': begun.headers.get('mcp-session-id')!,
    'mcp-protocol-version': '2025-11-25',
  };
  return {
    initialized: JSON.parse(data!).result as { capabilities: object },
    ask: async (method: string, params: object = {}) =>
      (await answersOf(url, headers, { method, params })).find(({ id }) => id === 1)!,
  };
}

const untilStopped = ({ signal }: ToolContext) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(new Refused('failed')));
  });

describe('a client that declares the tasks extension', () => {
  /** A call that takes longer than the server waits before it makes a task of it. */
  async function longCall(run: Run, declared: object = DECLARED) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const begun = gate();
    const { url, calls } = await serving((context) => {
      begun.open();
      return run(context);
    });
    const answering = modern(url, 'tools/call', given, declared);
    await begun.opened;
    await vi.advanceTimersByTimeAsync(5000);
    return { url, calls, answering };
  }

  test('learns that the server has it, and gets the result itself of a call that ends soon', async () => {
    const { url } = await serving(async () => ({ word: 'done' }));
    const { result } = await modern(url, 'server/discover', {});
    expect(result).toMatchObject({ capabilities: { extensions: { 'io.modelcontextprotocol/tasks': {} } } });
    const answer = await modern(url, 'tools/call', given);
    expect(answer.result).toMatchObject({ resultType: 'complete', structuredContent: { word: 'done' } });
  });

  test('gets a task for a call that takes long, and its result from the task', async () => {
    const end = gate();
    const { url, answering } = await longCall(async () => {
      await end.opened;
      return { word: 'done' };
    });
    const begun = (await answering).result!;
    expect(begun).toMatchObject({
      resultType: 'task',
      status: 'working',
      statusMessage: 'waiting for the tool',
      ttlMs: 3_600_000,
      pollIntervalMs: 2000,
    });
    const { taskId } = begun;
    expect((await modern(url, 'tasks/get', { taskId })).result).toMatchObject({
      resultType: 'complete',
      taskId,
      status: 'working',
    });
    end.open();
    await turn();
    expect((await modern(url, 'tasks/get', { taskId })).result).toMatchObject({
      status: 'completed',
      result: { structuredContent: { word: 'done' }, content: [{ type: 'text' }] },
    });
    expect((await modern(url, 'tasks/update', { taskId, inputResponses: {} })).error).toBeUndefined();
  });

  test('cancels a task, and asks about no task that it does not have', async () => {
    const { url, answering } = await longCall(untilStopped);
    const { taskId } = (await answering).result!;
    expect((await modern(url, 'tasks/cancel', { taskId })).result).toMatchObject({ resultType: 'complete' });
    await turn();
    expect((await modern(url, 'tasks/get', { taskId })).result).toMatchObject({ status: 'cancelled' });
    for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel'])
      expect((await modern(url, method, { taskId: 'call-1' })).error).toMatchObject({ code: -32602 });
    expect((await modern(url, 'tasks/list', {})).error).toMatchObject({ code: -32601 });
  });

  test('gets a refusal as the result of a task that is completed', async () => {
    const end = gate();
    const { url, answering } = await longCall(async () => {
      await end.opened;
      throw new Refused('conflict');
    });
    const { taskId } = (await answering).result!;
    end.open();
    await turn();
    expect((await modern(url, 'tasks/get', { taskId })).result).toMatchObject({
      status: 'completed',
      result: { isError: true, structuredContent: { error: { code: 'conflict' } } },
    });
  });

  test('is the only one that gets a task in place of a result', async () => {
    const end = gate();
    const { answering } = await longCall(async () => {
      await end.opened;
      return { word: 'done' };
    }, capabilities({}));
    end.open();
    expect((await answering).result).toMatchObject({ structuredContent: { word: 'done' } });
  });
});

describe('a client of 2025-11-25', () => {
  test('asks for a task, and waits for its result', async () => {
    const end = gate();
    const { url } = await serving(async () => {
      await end.opened;
      return { word: 'done' };
    });
    const { initialized, ask } = await session(url);
    expect(initialized.capabilities).toMatchObject({ tasks: { requests: { tools: { call: {} } } } });
    const { tools } = (await ask('tools/list')).result as { tools: { name: string; execution?: object }[] };
    expect(tools.map(({ name, execution }) => [name, execution])).toEqual([
      ['say', { taskSupport: 'optional' }],
      ['ask', undefined],
    ]);
    const { task } = (await ask('tools/call', { ...given, task: { ttl: 60_000 } })).result as {
      task: { taskId: string };
    };
    expect(task).toMatchObject({ status: 'working', ttl: 3_600_000, pollInterval: 2000 });
    const { taskId } = task;
    const list = await ask('tasks/list');
    expect(list.result).toMatchObject({ tasks: [{ taskId, status: 'working' }] });
    const result = ask('tasks/result', { taskId });
    end.open();
    expect((await result).result).toMatchObject({
      structuredContent: { word: 'done' },
      _meta: { 'io.modelcontextprotocol/related-task': { taskId } },
    });
    expect((await ask('tasks/get', { taskId })).result).toMatchObject({ status: 'completed' });
    expect((await ask('tasks/cancel', { taskId })).error).toMatchObject({ code: -32602 });
  });

  test('cancels its task, and has none of another session', async () => {
    const { url } = await serving(untilStopped);
    const [mine, other] = [await session(url), await session(url)];
    const { task } = (await mine.ask('tools/call', { ...given, task: {} })).result as {
      task: { taskId: string };
    };
    for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel'])
      expect((await other.ask(method, task)).error).toMatchObject({ code: -32602 });
    expect((await other.ask('tasks/list')).result).toMatchObject({ tasks: [] });
    expect((await mine.ask('tasks/cancel', task)).result).toMatchObject({ status: 'cancelled' });
  });

  test('gets no task for a tool that says nothing of tasks', async () => {
    const { url } = await serving(async () => ({ word: 'done' }));
    const { ask } = await session(url);
    const answer = await ask('tools/call', { ...given, name: 'ask', task: {} });
    expect(answer.error).toMatchObject({ code: -32601 });
  });
});
