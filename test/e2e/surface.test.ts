import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SimHost } from '../../sim/index.js';
import { Harness } from '../support/harness.js';
import { QMCP, qmcp, qmcpInProcess } from '../support/qmcp.js';
import { type AnyClient, v1, v2 } from './clients.js';

const TOKEN = 'a-token-of-the-operator';
const OTHER = 'a-token-for-another-client';
let folder: string;
let tokenFile: string;
let harness: Harness;
/** One host for all clients: each makes its own qubes and removes them. */
let sim: SimHost;
let server: ChildProcess;
let url: string;
const onHost = async () => ['--client', await sim.client('mcp-control')];
beforeAll(async () => {
  harness = await Harness.start();
  ({ sim, folder } = harness);
  tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, `one ${TOKEN}\nother ${OTHER}\n`, { mode: 0o600 });
  const words = ['serve', ...(await onHost()), '--http', '0', '--token-file', tokenFile];
  server = spawn(process.execPath, [QMCP, ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
  url = await new Promise((resolve, reject) => {
    let said = '';
    server.stderr!.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const found = /serving MCP at (\S+)/.exec(said);
      if (found) resolve(found[1]!);
    });
    server.once('close', () => reject(new Error(said)));
  });
});
afterAll(async () => {
  const gone = new Promise((resolve) => server.once('close', resolve));
  server.kill('SIGTERM');
  await gone;
  await harness.close();
});

const http = (token = TOKEN) => ({ url, token });
const CLIENTS: readonly [string, () => Promise<AnyClient>][] = [
  ['a v2 client on a pipe', async () => v2(await onHost(), 'auto')],
  ['a v1 client on a pipe', async () => v1(await onHost())],
  ['a v2 client over HTTP', () => v2(http(), 'auto')],
  ['a v1 client over HTTP', () => v1(http())],
  ['a v2 client of the 2025 era over HTTP', () => v2(http(), 'legacy')],
];

describe.each(CLIENTS)('%s', (who, connect) => {
  const suffix = who.replaceAll(' ', '-').toLowerCase();
  let client: AnyClient;
  beforeAll(async () => {
    client = await connect();
  });
  afterAll(() => client.close());

  test('a client lets a slow call go on in the background, follows it and stops it', async () => {
    const done = async (name: string, args: Record<string, unknown>) =>
      (await client.call(name, args)).structuredContent as Record<string, unknown>;
    const { handle, running } = await done('event_wait', { seconds: 600, background: true });
    expect(running).toBe(true);
    expect(await done('call_result', { handle })).toMatchObject({ running: true, tool: 'event_wait' });
    expect(await done('call_stop', { handle })).toEqual({ running: false });
    expect(await done('call_result', { handle, wait: 60 })).toEqual({
      running: false,
      tool: 'event_wait',
      status: 'stopped',
    });
  });

  test('a client reads the list of qubes, and each qube, by address', async () => {
    const { resources } = await client.look.listResources();
    expect(resources.map(({ uri }) => uri)).toEqual(['qube://', 'qube://ai-debian']);
    const { resourceTemplates } = await client.look.listResourceTemplates();
    expect(resourceTemplates.map(({ uriTemplate }) => uriTemplate)).toEqual([
      'qube://{name}',
      'exec-output://{handle}/{stream}',
      'exec-output://{handle}/{stream}/raw',
      'tool://{name}',
    ]);
    const read = async (uri: string) => {
      const [content] = (await client.look.readResource({ uri })).contents;
      return JSON.parse((content as { text: string }).text);
    };
    expect(await read('qube://')).toEqual((await client.call('qube_list')).structuredContent);
    expect(await read('qube://ai-debian')).toMatchObject({ name: 'ai-debian', class: 'TemplateVM' });
    expect(await read('tool://qube_remove')).toMatchObject({
      effect: 'destroy',
      input: { additionalProperties: false, properties: { qube: { maxLength: 31 } } },
      invariants: { 'remove.is-a-tombstone': expect.stringContaining('Remove halts') },
    });
  });

  test('a client cannot tell a hidden qube from a missing one by address', async () => {
    const told = async (name: string) => {
      const error = await client.look
        .readResource({ uri: `qube://${name}` })
        .catch((error: unknown) => error);
      const { code, message, data } = error as { code: number; message: string; data: unknown };
      return JSON.stringify({ code, message, data }).replaceAll(name, 'NAME');
    };
    const missing = await told('no-such-qube');
    expect(missing).toContain('not-found');
    for (const hidden of ['vault', 'sys-ai-net', 'mcp-control']) expect(await told(hidden)).toBe(missing);
  });

  test('a client gets the main jobs as prompts, with completions of their arguments', async () => {
    const { prompts } = await client.look.listPrompts();
    expect(prompts.map(({ name }) => name)).toEqual(['dev_environment', 'throwaway_run', 'isolated_audit']);
    const asked = { name: 'dev_environment', arguments: { project: 'a parser', template: 'ai-debian' } };
    const { messages } = await client.look.getPrompt(asked);
    expect(messages[0]!.content).toMatchObject({
      type: 'text',
      text: expect.stringMatching(/a parser[\s\S]*from ai-debian/),
    });
    await expect(client.look.getPrompt({ name: 'dev_environment', arguments: {} })).rejects.toThrow(
      'Missing: project',
    );
    const complete = async (prompt: string, name: string, value: string) => {
      const ref = { type: 'ref/prompt' as const, name: prompt };
      return (await client.look.complete({ ref, argument: { name, value } })).completion.values;
    };
    expect(await complete('dev_environment', 'template', 'ai-')).toEqual(['ai-debian']);
    expect(await complete('dev_environment', 'label', 'gr')).toEqual(['green', 'gray']);
    expect(await complete('isolated_audit', 'qube', 'v')).toEqual([]);
    const ref = { type: 'ref/resource' as const, uri: 'qube://{name}' };
    const { completion } = await client.look.complete({ ref, argument: { name: 'name', value: 'ai' } });
    expect(completion.values).toEqual(['ai-debian']);
  });

  test('a client is notified when a resource that it subscribed to changes, and of no other change', async () => {
    const heard: string[] = [];
    await client.hear('qube://', (uri) => heard.push(uri));
    const qube = `ai-heard-${suffix}`.slice(0, 31);
    const spawned = await client.call('qube_spawn', { name: qube, template: 'ai-debian' });
    expect(spawned.isError ?? false).toBe(false);
    // An event before dom0 listens is lost, so repeat it until one is heard.
    while (heard.length === 0) {
      await client.call('qube_remove', { qube });
      await client.call('qube_restore', { qube });
    }
    expect([...new Set(heard)]).toEqual(['qube://']);
    await client.call('qube_remove', { qube });
  });

  test('a client reads the output of a command by address, while its qube is in reach', async () => {
    const qube = `ai-printing-${suffix}`.slice(0, 31);
    const output = async () =>
      (await client.look.listResources()).resources
        .map(({ uri }) => uri)
        .filter((uri) => uri.startsWith('exec-output://'));
    await client.call('qube_spawn', { name: qube, template: 'ai-debian', start: true });
    const command = "printf 'a\\033[31mb'";
    const ran = await client.call('exec_run', { qube, command });
    expect(ran.structuredContent).toMatchObject({ exit: 0, handle: expect.stringContaining(qube) });
    const [uri, ...others] = await output();
    expect(others).toEqual([]);
    const read = async (uri: string) => (await client.look.readResource({ uri })).contents[0];
    const text = JSON.parse(((await read(uri!)) as { text: string }).text);
    expect(text).toMatchObject({ content: 'ab', altered: true, untrusted: ['content'] });
    expect(await read(`${uri}/raw`)).toMatchObject({
      mimeType: 'application/octet-stream',
      blob: Buffer.from('a\x1b[31mb').toString('base64'),
    });
    await client.call('qube_remove', { qube });
    expect(await output()).toEqual([]);
    for (const missing of ['exec-output://vault%3Arun1/stdout', 'exec-output://no-such-qube%3Arun1/stdout'])
      await expect(read(missing)).rejects.toThrow('not-found');
  });

  test('a client gets the progress of a call, and can cancel the call', async () => {
    const enough = new AbortController();
    let heard = 0;
    const waiting = client.call(
      'event_wait',
      { seconds: 60, qube: 'ai-debian' },
      {
        signal: enough.signal,
        onprogress: ({ message }) => {
          expect(message).toBe('waiting');
          heard += 1;
          enough.abort();
        },
      },
    );
    await expect(waiting).rejects.toThrow();
    expect(heard).toBe(1);
    // The abandoned call does not count against the limit of calls at once.
    const many = await Promise.all(Array.from({ length: 6 }, () => client.call('qube_list')));
    expect(many.map(({ isError }) => isError ?? false)).toEqual(Array(6).fill(false));
  });
});

describe('two clients over HTTP', () => {
  test('a client neither lists, reads nor stops the commands of another one', async () => {
    const [mine, other] = [await v1(http()), await v2(http(OTHER), 'auto')];
    const qube = 'ai-sessions';
    await mine.call('qube_spawn', { name: qube, template: 'ai-debian', start: true });
    const ran = await mine.call('exec_run', { qube, command: 'echo mine' });
    const { handle } = ran.structuredContent as { handle: string };
    const outputs = async (client: AnyClient) =>
      (await client.look.listResources()).resources.filter(({ uri }) => uri.startsWith('exec-output://'));
    expect(await outputs(mine)).toHaveLength(1);
    expect(await outputs(other)).toEqual([]);
    for (const tool of ['exec_output', 'exec_stop'])
      expect((await other.call(tool, { handle })).structuredContent).toEqual({
        error: { code: 'not-found' },
      });
    expect((await mine.call('exec_output', { handle })).structuredContent).toMatchObject({
      content: 'mine\n',
    });
    await mine.call('qube_remove', { qube });
    await mine.close();
    await other.close();
  });
});

describe('over HTTP', () => {
  const ask = (headers: Record<string, string>, path = '/mcp', method = 'POST') =>
    new Promise<number>((resolve, reject) => {
      const { hostname, port } = new URL(url);
      const sent = request({ hostname, port, path, method, headers }, (response) => {
        response.resume();
        resolve(response.statusCode!);
      });
      sent.once('error', reject);
      sent.end(method === 'POST' ? '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' : undefined);
    });
  const fine = {
    authorization: `Bearer ${TOKEN}`,
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };

  test('over HTTP, a request without the token, to another path or from a web page is not answered', async () => {
    expect(await ask(fine)).toBe(200);
    const { authorization: _, ...anybody } = fine;
    expect(await ask(anybody)).toBe(401);
    for (const authorization of ['Bearer wrong', TOKEN, `Bearer ${TOKEN}x`, `Basic ${TOKEN}`])
      expect(await ask({ ...fine, authorization })).toBe(401);
    expect(await ask({ ...fine, host: 'attacker.example' })).toBe(403);
    expect(await ask({ ...fine, origin: 'https://attacker.example' })).toBe(403);
    expect(await ask(fine, '/')).toBe(404);
  });

  test('over HTTP, qmcp serve listens for other machines only with a valid token', async () => {
    const open = await qmcp(['serve', ...(await onHost()), '--http', '0.0.0.0:0']);
    expect(open).toMatchObject({ code: 1, stdout: '' });
    expect(open.stderr).toContain('other machines can reach 0.0.0.0; use --token-file');
    writeFileSync(join(folder, 'short'), 'x\n', { mode: 0o600 });
    const short = await qmcpInProcess([
      ...['serve', ...(await onHost()), '--http', '0', '--token-file', join(folder, 'short')],
    ]);
    expect(short).toMatchObject({ code: 2, stdout: '' });
    expect(short.stderr).toContain('expected a token of at least 16 visible ASCII characters');
    writeFileSync(join(folder, 'readable'), `${TOKEN}\n`, { mode: 0o640 });
    const readable = await qmcpInProcess([
      ...['serve', ...(await onHost()), '--http', '0', '--token-file', join(folder, 'readable')],
    ]);
    expect(readable).toMatchObject({ code: 2, stdout: '' });
    expect(readable.stderr).toContain('others than its owner can use it; run chmod 600');
    expect((await qmcpInProcess(['serve', '--http', 'here'])).code).toBe(2);
  });
});
