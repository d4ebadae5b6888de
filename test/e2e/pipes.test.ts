/** The server as a process, on raw bytes. */
import { type ChildProcess, spawn } from 'node:child_process';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { catalogOf } from '../support/fake-host.js';
import { CatalogOnlyHost, QMCP } from '../support/qmcp.js';
import { ends, eventually } from '../support/waiting.js';

const host = new CatalogOnlyHost(catalogOf(BUILT_IN));
afterAll(() => host.remove());

const initialize = (protocolVersion = '2025-11-25') => ({
  jsonrpc: '2.0',
  id: 'first',
  method: 'initialize',
  params: { protocolVersion, capabilities: {}, clientInfo: { name: 'raw', version: '0' } },
});
const initialized = { jsonrpc: '2.0', method: 'notifications/initialized' };
const asking = (id: unknown, method = 'tools/list', params?: object) => ({
  jsonrpc: '2.0',
  id,
  method,
  params,
});

let server: ChildProcess;
let output: string;
let over: Promise<[code: number | null, signal: string | null]>;
const messages = () =>
  output
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
const ids = () => messages().map(({ id }) => id);
const say = (...values: unknown[]) => {
  for (const value of values)
    server.stdin!.write(Buffer.isBuffer(value) ? value : `${JSON.stringify(value)}\n`);
};

beforeEach(() => {
  output = '';
  const args = [QMCP, 'serve', '--client', host.client];
  server = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  server.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  over = new Promise((resolve) => {
    server.once('close', (code, signal) => resolve([code, signal]));
  });
});
afterEach(() => {
  // Output that the test did not read must not become that of the next server.
  server.stdout!.removeAllListeners('data').destroy();
  server.kill('SIGKILL');
});

describe('a server on standard input and output', () => {
  test('answers every request before the end of its input, then ends by itself', async () => {
    say(
      initialize(),
      initialized,
      asking(1),
      asking(2, 'resources/templates/list'),
      asking(3, 'nothing/there'),
    );
    server.stdin!.end();
    expect(await ends('the server', over)).toEqual([0, null]);
    expect(ids().sort()).toEqual([1, 2, 3, 'first']);
    expect(messages().find(({ id }) => id === 3).error.code).toBe(-32601);
  });

  test('ends by itself with a subscription open', async () => {
    say(initialize(), initialized, asking(1, 'resources/subscribe', { uri: 'qube://' }));
    await eventually(ids).toEqual(['first', 1]);
    server.stdin!.end();
    expect(await ends('the server', over)).toEqual([0, null]);
  });

  test('ends when it is told to, with output that its client does not read', async () => {
    say(initialize(), initialized);
    await eventually(ids).toEqual(['first']);
    server.stdout!.pause();
    for (let id = 0; id < 200; id += 1) say(asking(id));
    const exited = new Promise((resolve) => server.once('exit', (code, signal) => resolve([code, signal])));
    server.kill('SIGTERM');
    expect(await ends('the server', exited)).toEqual([0, null]);
  });

  test('answers what it cannot read, and goes on', async () => {
    say(initialize(), initialized, Buffer.from('{bad\n'), asking(1, 'ping', undefined), [asking(2)]);
    say({ ...asking(3), params: null }, Buffer.from('\ufeff'), asking(4));
    await eventually(ids).toEqual(expect.arrayContaining([4]));
    const errors = messages().filter(({ error }) => error);
    expect(errors.map(({ id, error }) => [id, error.code])).toEqual([
      [null, -32700],
      [null, -32600],
      [3, -32600],
    ]);
  });

  test('answers a batch where the protocol has batches', async () => {
    say(initialize('2025-03-26'));
    await eventually(ids).toEqual(['first']);
    say(initialized, [asking(1), asking(2, 'ping'), 7]);
    await eventually(() => messages().length).toBe(2);
    const [, batch] = messages();
    expect(batch.map(({ id }: { id: unknown }) => id).sort()).toEqual([1, 2, null]);
  });

  test('answers a message over the limit with an error, and goes on', async () => {
    say(initialize(), initialized);
    server.stdin!.write('{"method":"tools/call","params":{"name":"');
    const piece = Buffer.alloc(1 << 20, 'x');
    for (let sent = 0; sent <= 64; sent += 1) server.stdin!.write(piece);
    server.stdin!.write('"},"jsonrpc":"2.0","id":7}\n');
    say(asking(8, 'ping'));
    await eventually(ids).toEqual(['first', 7, 8]);
    expect(messages()[1].error.message).toContain('67108864');
  });

  test('ends when nobody can read its output any more', async () => {
    say(initialize(), initialized);
    await eventually(ids).toEqual(['first']);
    server.stdout!.destroy();
    say(asking(2));
    expect(await ends('the server', over)).toEqual([0, null]);
  });
});
