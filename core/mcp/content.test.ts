import { Client, InMemoryTransport } from '@modelcontextprotocol/client';
import { afterEach, describe, expect, test } from 'vitest';
import { serviceOf, toolOf } from '../../test/support/plugins.js';
import {
  type ContentBlock,
  definePrompt,
  type PromptMessage,
  type RunContext,
  type Tool,
  Type,
  withContent,
} from '../api/index.js';
import type { ServedTool } from '../serve/served.js';
import { serveTool } from '../serve/tools.js';
import { mcpServer } from './server.js';

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

const logged: string[] = [];
type Run = (input: unknown, context: RunContext) => Promise<unknown>;
const served = (name: string, run: Run, changes: Partial<Tool> = {}): ServedTool =>
  serveTool('a', toolOf(name, serviceOf('a'), { input: Type.Object({}), ...changes }), run as never, (line) =>
    logged.push(line),
  );

type Capabilities = NonNullable<ConstructorParameters<typeof Client>[1]>['capabilities'];

async function connected(
  { tools = [] as ServedTool[], prompts = [] as object[] },
  capabilities: Capabilities = {},
): Promise<Client> {
  const [near, far] = InMemoryTransport.createLinkedPair();
  const nothing = { resources: [], changes: [] };
  const all = prompts.map((prompt) => ({ plugin: 'a', prompt: prompt as never, complete: async () => [] }));
  const options = { ...nothing, tools, prompts: all, version: '1', log: () => {} };
  await mcpServer(options, { subscribable: false }).connect(far);
  const client = new Client({ name: 'test', version: '0' }, { capabilities });
  await client.connect(near);
  open.push(() => client.close());
  return client;
}

const bytes = new Uint8Array([1, 2, 255]);
const BLOCKS: readonly [ContentBlock, object][] = [
  [
    { type: 'text', text: 'words' },
    { type: 'text', text: 'words' },
  ],
  [
    { type: 'image', bytes, mimeType: 'image/png' },
    { type: 'image', data: 'AQL/', mimeType: 'image/png' },
  ],
  [
    { type: 'audio', bytes, mimeType: 'audio/wav' },
    { type: 'audio', data: 'AQL/', mimeType: 'audio/wav' },
  ],
  [
    { type: 'link', uri: 'qube://a', name: 'a', description: 'One', mimeType: 'text/plain' },
    { type: 'resource_link', uri: 'qube://a', name: 'a', description: 'One', mimeType: 'text/plain' },
  ],
  [
    { type: 'resource', uri: 'qube://a', mimeType: 'text/plain', content: { text: 'words' } },
    { type: 'resource', resource: { uri: 'qube://a', mimeType: 'text/plain', text: 'words' } },
  ],
  [
    { type: 'resource', uri: 'qube://a', mimeType: 'image/png', content: { bytes } },
    { type: 'resource', resource: { uri: 'qube://a', mimeType: 'image/png', blob: 'AQL/' } },
  ],
];

describe('content of a plugin', () => {
  test('of every kind reaches the client beside the structured result', async () => {
    const blocks = BLOCKS.map(([block]) => block);
    const tools = [served('say', async () => withContent({ word: 'x' }, ...blocks))];
    const client = await connected({ tools });
    expect(await client.callTool({ name: 'say', arguments: {} })).toMatchObject({
      structuredContent: { word: 'x' },
      content: BLOCKS.map(([, sent]) => sent),
    });
  });

  test('that cannot be sent fails the call, and the operator learns why', async () => {
    const malformed: unknown[] = [
      { type: 'text' },
      { type: 'image', bytes: 'AQL/', mimeType: 'image/png' },
      { type: 'link', uri: 'qube://a' },
      { type: 'resource', uri: 'qube://a', mimeType: 'text/plain', content: {} },
      { type: 'video' },
      null,
    ];
    for (const block of malformed) {
      logged.length = 0;
      const tools = [served('say', async () => withContent({ word: 'x' }, block as ContentBlock))];
      const result = await (await connected({ tools })).callTool({ name: 'say', arguments: {} });
      expect([block, result.structuredContent]).toEqual([block, { error: { code: 'failed' } }]);
      expect(logged.join()).toContain('a block that cannot be sent');
    }
  });

  test('is not taken from what a call returns to the client as data', async () => {
    const tools = [served('say', async () => ({ word: 'x' }))];
    const { content } = await (await connected({ tools })).callTool({ name: 'say', arguments: {} });
    expect(content).toEqual([{ type: 'text', text: '{"word":"x"}' }]);
  });

  test('makes a prompt of several messages, in which either side speaks', async () => {
    const messages = (given: { [name: string]: string | undefined }): PromptMessage[] => [
      { role: 'user', content: { type: 'image', bytes, mimeType: 'image/png' } },
      { role: 'assistant', content: { type: 'text', text: `about ${given.what}` } },
    ];
    const shown = { name: 'look', title: 'Look', description: 'Looks.', uses: {} };
    const what = { name: 'what', description: 'it' };
    const client = await connected({ prompts: [definePrompt({ ...shown, arguments: [what], messages })] });
    const prompt = await client.getPrompt({ name: 'look', arguments: { what: 'it' } });
    expect(prompt.messages).toEqual([
      { role: 'user', content: { type: 'image', data: 'AQL/', mimeType: 'image/png' } },
      { role: 'assistant', content: { type: 'text', text: 'about it' } },
    ]);
  });
});

describe('a tool that requires something of the client', () => {
  test('is offered only to a client that can do it', async () => {
    const tools = [
      served('ask', async () => ({ word: 'x' }), { requires: ['elicitation'] }),
      served('say', async () => ({ word: 'x' })),
    ];
    const names = async (client: Client) => (await client.listTools()).tools.map(({ name }) => name);
    const able = await connected({ tools }, { elicitation: {} });
    const unable = await connected({ tools });
    expect(await names(able)).toEqual(['ask', 'say']);
    expect(await names(unable)).toEqual(['say']);
    await expect(unable.callTool({ name: 'ask', arguments: {} })).rejects.toMatchObject({
      message: expect.stringMatching(/capabilit/i),
    });
  });
});

describe('a tool that asks', () => {
  const Colour = Type.Object({ colour: Type.String() });
  const Size = Type.Object({ size: Type.Integer() });
  let begun = 0;
  const tools = [
    served('say', async (_input, { ask }) => {
      begun += 1;
      const colour = ask('colour', { message: 'Which colour?', answer: Colour });
      const size = ask('size', { message: 'Which size?', answer: Size });
      return { word: `${colour?.colour ?? 'none'} ${size?.size ?? 'none'}` };
    }),
  ];

  async function answering(answers: Readonly<Record<string, unknown>>) {
    begun = 0;
    const asked: string[] = [];
    const client = await connected({ tools }, { elicitation: { form: {} } });
    client.setRequestHandler('elicitation/create', ({ params }) => {
      asked.push(params.message);
      return (answers[params.message] ?? { action: 'cancel' }) as never;
    });
    const result = await client.callTool({ name: 'say', arguments: {} });
    return { asked, result };
  }

  test('gets the answers of the person one after the other, and begins again with each', async () => {
    const { asked, result } = await answering({
      'Which colour?': { action: 'accept', content: { colour: 'red' } },
      'Which size?': { action: 'accept', content: { size: 7 } },
    });
    expect(asked).toEqual(['Which colour?', 'Which size?']);
    expect(begun).toBe(3);
    expect(result.structuredContent).toEqual({ word: 'red 7' });
  });

  test('learns that the person refuses, and does not ask the same again', async () => {
    const { asked, result } = await answering({ 'Which colour?': { action: 'decline' } });
    expect(asked).toEqual(['Which colour?', 'Which size?']);
    expect(result.structuredContent).toEqual({ word: 'none none' });
  });

  test('is refused where nobody can be asked', async () => {
    const client = await connected({ tools });
    const { structuredContent } = await client.callTool({ name: 'say', arguments: {} });
    expect(structuredContent).toEqual({ error: { code: 'conflict', data: { missing: 'elicitation' } } });
  });
});

test('a tool sends notices, and a client gets those that are grave enough for it', async () => {
  const tools = [
    served('say', async (_input, { log }) => {
      log('debug', 'small');
      log('warning', 'large');
      return { word: 'x' };
    }),
  ];
  const client = await connected({ tools });
  const heard: unknown[] = [];
  client.setNotificationHandler('notifications/message', ({ params }) => {
    heard.push([params.level, params.data]);
  });
  await client.setLoggingLevel('info');
  await client.callTool({ name: 'say', arguments: {} });
  expect(heard).toEqual([['warning', 'large']]);
});
