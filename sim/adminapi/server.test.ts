import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { eventually, gate } from '../../test/support/waiting.js';
import { Host } from '../host/host.js';
import { loadHostSpec } from '../host-spec.js';
import { decodeReply, encodeRequest } from './messages.js';
import { type AdminApiServer, serveAdminApi } from './server.js';

let dir: string;
let path: string;
let host: Host;
let server: AdminApiServer;

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'qubesd-'));
  path = join(dir, 'qubesd.sock');
  host = Host.load(loadHostSpec('demo'));
  server = await serveAdminApi(host, path);
});

afterEach(async () => {
  await server.close();
  rmSync(dir, { recursive: true, force: true });
});

async function open(): Promise<Socket> {
  const socket = connect({ path, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

/** Sends a request, ends it, and reads to the end. A reset connection counts as an empty reply. */
async function ask(...chunks: Uint8Array[]): Promise<Buffer> {
  const socket = await open();
  const received: Buffer[] = [];
  socket.on('data', (chunk) => received.push(chunk));
  socket.on('error', () => {});
  for (const chunk of chunks) socket.write(chunk);
  socket.end();
  await once(socket, 'close');
  return Buffer.concat(received);
}

const list = encodeRequest('admin.vm.List', 'dom0');

describe('the socket of the Admin API', () => {
  test('the socket of the Admin API is open to root and its group only', () => {
    expect(statSync(path).mode & 0o777).toBe(0o770);
  });

  test('the socket of the Admin API answers after the end of the request, however it was split', async () => {
    const reply = await ask(...[...list].map((byte) => Uint8Array.of(byte)));
    expect(decodeReply(reply)).toMatchObject({
      kind: 'ok',
      data: expect.stringContaining('work class=AppVM'),
    });
  });

  test('the socket of the Admin API sends nothing before the end of the request', async () => {
    const socket = await open();
    let heard = 0;
    socket.on('data', (chunk) => {
      heard += chunk.length;
    });
    socket.write(list);
    // Later callers whose requests are complete are answered meanwhile.
    for (let others = 0; others < 20; others++) expect(decodeReply(await ask(list)).kind).toBe('ok');
    expect(heard).toBe(0);
    socket.end();
    await eventually(() => heard).toBeGreaterThan(0);
    socket.destroy();
  });

  test('the socket of the Admin API answers 200 callers at once, each with its own reply', async () => {
    const replies = await Promise.all(
      Array.from({ length: 200 }, async (_, at) => {
        const feature = `f${at}`;
        await ask(encodeRequest('admin.vm.feature.Set', 'work', { argument: feature, payload: `v${at}` }));
        return decodeReply(await ask(encodeRequest('admin.vm.feature.Get', 'work', { argument: feature })));
      }),
    );
    expect(replies).toEqual(replies.map((_, at) => ({ kind: 'ok', data: `v${at}` })));
  });

  test('concurrent starts of one qube start it once', async () => {
    let [booted, asked] = [0, 0];
    const all = gate();
    host.onPower(async (_name, change) => {
      if (change === 'started') booted++;
      await all.opened;
    });
    const call = host.call.bind(host);
    host.call = (request) => {
      asked++;
      return call(request);
    };
    const starts = Array.from({ length: 4 }, () => ask(encodeRequest('admin.vm.Start', 'vault')));
    await eventually(() => asked).toBe(4);
    all.open();
    const replies = await Promise.all(starts);
    expect(replies.map((reply) => decodeReply(reply).kind)).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(booted).toBe(1);
  });

  test('one of several concurrent creates of a name succeeds', async () => {
    const replies = await Promise.all(
      Array.from({ length: 3 }, () =>
        ask(encodeRequest('admin.vm.Create.AppVM', 'dom0', { payload: 'name=x label=red' })),
      ),
    );
    expect(replies.map((reply) => decodeReply(reply).kind).sort()).toEqual(['error', 'error', 'ok']);
  });

  test.each([
    ['nothing at all', Buffer.alloc(0)],
    ['no header', Buffer.from('admin.vm.List')],
    ['noise', Buffer.from(Array.from({ length: 4096 }, (_, at) => (at * 97) % 256))],
    ['the format of 4.0', Buffer.from('dom0\0admin.vm.List\0dom0\0\0')],
    ['an unknown keyword', Buffer.from('admin.vm.List+ dom0 keyword default\0')],
    ['more than it reads', Buffer.concat([list, Buffer.alloc(70_000, 120)])],
  ])('the socket of the Admin API closes without a reply on %s, and continues', async (_what, bytes) => {
    expect(await ask(bytes)).toHaveLength(0);
    expect(decodeReply(await ask(list)).kind).toBe('ok');
  });

  test('a call whose caller disconnects is carried out', async () => {
    const socket = await open();
    socket.end(encodeRequest('admin.vm.tag.Set', 'work', { argument: 'left' }));
    socket.destroySoon();
    await eventually(async () =>
      decodeReply(await ask(encodeRequest('admin.vm.tag.Get', 'work', { argument: 'left' }))),
    ).toEqual({ kind: 'ok', data: '1' });
  });

  test('callers who never finish do not delay others', async () => {
    const idle = await Promise.all(Array.from({ length: 50 }, open));
    for (const socket of idle) socket.write('admin.vm.Li');
    expect(decodeReply(await ask(list)).kind).toBe('ok');
    for (const socket of idle) socket.destroy();
  });

  test('every subscriber gets the events until it disconnects', async () => {
    const [first, second] = [await open(), await open()];
    const heard: [string, string] = ['', ''];
    first.on('data', (chunk) => {
      heard[0] += chunk.toString();
    });
    second.on('data', (chunk) => {
      heard[1] += chunk.toString();
    });
    first.end(encodeRequest('admin.Events', 'dom0'));
    second.end(encodeRequest('admin.Events', 'work'));
    const established = '1\0\0connection-established\0\0';
    await eventually(() => heard).toEqual([established, established]);
    await ask(encodeRequest('admin.vm.tag.Set', 'work', { argument: 'a' }));
    await ask(encodeRequest('admin.vm.tag.Set', 'vault', { argument: 'b' }));
    const event = (qube: string, tag: string) => `1\0${qube}\0domain-tag-add:${tag}\0tag\0${tag}\0\0`;
    await eventually(() => heard[0]).toBe(established + event('work', 'a') + event('vault', 'b'));
    expect(heard[1]).toBe(established + event('work', 'a'));
    second.destroy();
    await ask(encodeRequest('admin.vm.tag.Set', 'work', { argument: 'c' }));
    await eventually(() => heard[0].endsWith(event('work', 'c'))).toBe(true);
    first.destroy();
  });

  test('the server closes while subscribers are connected', async () => {
    const socket = await open();
    socket.on('error', () => {});
    socket.end(encodeRequest('admin.Events', 'dom0'));
    await once(socket, 'data');
    await server.close();
    await expect(open()).rejects.toThrow();
    server = await serveAdminApi(host, path);
  });
});
