import { Client, InMemoryTransport } from '@modelcontextprotocol/client';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import { gate, turn } from '../../test/support/waiting.js';
import { Refused, type Tool, type ToolContext } from '../api/index.js';
import { waitFor } from '../ports/scope.js';
import type { ServedTool } from '../serve/served.js';
import { annotationsOf } from './annotations.js';
import { mcpServer } from './server.js';

const service = serviceOf('a');
const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

const logged: string[] = [];
type Run = (input: unknown, context: ToolContext) => Promise<Record<string, unknown>>;
const served = (name: string, call: Run, changes: Partial<Tool> = {}): ServedTool => ({
  plugin: 'a',
  tool: toolOf(name, service, changes),
  call,
});

async function connected(...tools: ServedTool[]): Promise<Client> {
  const [near, far] = InMemoryTransport.createLinkedPair();
  const nothing = { resources: [], prompts: [], changes: [] };
  const options = { ...nothing, tools, version: '1.2.3', log: (line: string) => logged.push(line) };
  await mcpServer(options, { subscribable: false }).connect(far);
  const client = new Client({ name: 'test', version: '0' });
  await client.connect(near);
  open.push(() => client.close());
  return client;
}

describe('tools as a client sees them', () => {
  test('tools are listed in their order with schemas, hints and descriptions', async () => {
    const client = await connected(
      served('b_say', async () => ({ word: '' })),
      served('a_say', async () => ({ word: '' }), { effect: 'read' }),
    );
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(['b_say', 'a_say']);
    expect(tools[0]).toMatchObject({
      description: 'Says a word.',
      inputSchema: { type: 'object', properties: { qube: { type: 'string' } }, required: ['qube'] },
      title: 'Say a word',
      outputSchema: { type: 'object', properties: { word: { type: 'string' } } },
      annotations: { destructiveHint: false, openWorldHint: false },
    });
  });

  test('the hints of a tool follow from its effect, idempotent and openWorld alone', () => {
    const hints = (effect: Tool['effect'], more: { idempotent?: boolean; openWorld?: boolean } = {}) =>
      annotationsOf({ effect, ...more });
    expect(hints('read')).toEqual({ readOnlyHint: true, openWorldHint: false });
    expect(hints('read', { idempotent: true })).toEqual({ readOnlyHint: true, openWorldHint: false });
    expect(hints('write')).toEqual({ destructiveHint: false, openWorldHint: false });
    expect(hints('write', { idempotent: true })).toEqual({
      destructiveHint: false,
      idempotentHint: true,
      openWorldHint: false,
    });
    expect(hints('destroy', { openWorld: true })).toEqual({ destructiveHint: true });
  });
});

describe('a tool call over MCP', () => {
  test('a call answers with structured content and the same as text', async () => {
    const client = await connected(served('say', async () => ({ word: 'hello' })));
    const result = await client.callTool({ name: 'say', arguments: { qube: 'x' } });
    expect(result).toMatchObject({
      structuredContent: { word: 'hello' },
      content: [{ type: 'text', text: '{"word":"hello"}' }],
    });
    expect(result.isError).toBeUndefined();
  });

  test('a refused call is an error result with the code, the fixed sentence and nothing from the call', async () => {
    const client = await connected(
      served('say', async () => {
        throw new Refused('not-found');
      }),
    );
    const answers = await Promise.all(
      ['vault', 'no-such-qube'].map((qube) => client.callTool({ name: 'say', arguments: { qube } })),
    );
    expect(JSON.stringify(answers[0])).toBe(JSON.stringify(answers[1]));
    expect(answers[0]).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'not-found' } },
      content: [{ type: 'text', text: expect.stringMatching(/^not-found: There is no such qube here/) }],
    });
  });

  test('the refusal of malformed arguments says where they are wrong', async () => {
    const data = { problems: [{ at: '/qube', problem: 'must be string' }] };
    const client = await connected(
      served('say', async () => {
        throw new Refused('invalid-request', data);
      }),
    );
    const result = await client.callTool({ name: 'say', arguments: {} });
    expect(result).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'invalid-request', data } },
      content: [{ text: expect.stringContaining('/qube must be string.') }],
    });
  });

  test('a call that throws any other error is `failed`, and the reason is only logged', async () => {
    logged.length = 0;
    const client = await connected(
      served('say', async () => {
        throw new Error('secret');
      }),
    );
    const result = await client.callTool({ name: 'say', arguments: {} });
    expect(result).toMatchObject({ isError: true, structuredContent: { error: { code: 'failed' } } });
    expect(JSON.stringify(result)).not.toContain('secret');
    expect(logged.join()).toContain('secret');
  });

  test('a call of an unknown tool is a protocol error', async () => {
    const client = await connected(served('say', async () => ({ word: '' })));
    await expect(client.callTool({ name: 'shout', arguments: {} })).rejects.toMatchObject({ code: -32602 });
  });

  test('a call reports progress to a client that asked for it', async () => {
    const client = await connected(
      served('say', async (_input, { progress }) => {
        progress('one');
        progress('two');
        return { word: 'x' };
      }),
    );
    const heard: unknown[] = [];
    await client.callTool({ name: 'say', arguments: {} }, { onprogress: (update) => heard.push(update) });
    expect(heard).toEqual([
      { progress: 1, message: 'one' },
      { progress: 2, message: 'two' },
    ]);
    await client.callTool({ name: 'say', arguments: {} });
  });

  test('a silent call tells a client that asked for progress what it waits for', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const [begun, answered] = [gate(), gate()];
    const client = await connected(
      served('say', async () => {
        begun.open();
        await waitFor('the operator', () => answered.opened);
        return { word: 'x' };
      }),
    );
    const heard: unknown[] = [];
    const onprogress = ({ message }: { message?: string | undefined }) => heard.push(message);
    const calling = client.callTool({ name: 'say', arguments: {} }, { onprogress, timeout: 600_000 });
    await begun.opened;
    await vi.advanceTimersByTimeAsync(20_000);
    await turn();
    expect(heard).toEqual(['waiting for the operator', 'waiting for the operator']);
    answered.open();
    expect(await calling).toMatchObject({ structuredContent: { word: 'x' } });
  });

  test('a call that has to wait longer than it can is told for how long', async () => {
    const client = await connected(
      served('say', async () => {
        throw new Refused('busy', { retry_after_seconds: 7 });
      }),
    );
    expect(await client.callTool({ name: 'say', arguments: {} })).toMatchObject({
      content: [{ text: expect.stringMatching(/^busy: .* Wait 7 s first\.$/) }],
      structuredContent: { error: { code: 'busy', data: { retry_after_seconds: 7 } } },
    });
  });

  test('a call is aborted when the client cancels it', async () => {
    const [begun, stopped] = [gate(), gate()];
    const client = await connected(
      served(
        'say',
        (_input, { signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              stopped.open();
              reject(new Refused('failed'));
            });
            begun.open();
          }),
      ),
    );
    const controller = new AbortController();
    const call = client.callTool({ name: 'say', arguments: {} }, { signal: controller.signal });
    const refused = expect(call).rejects.toThrow();
    await begun.opened;
    controller.abort();
    await refused;
    await stopped.opened;
  });
});
