import { PassThrough, Writable } from 'node:stream';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { turn } from '../../test/support/waiting.js';
import type { JSONRPCMessage } from '../vendor/mcp.js';
import { idAtEnds } from './json-rpc.js';
import { LineSplitter } from './lines.js';
import { StdioTransport } from './stdio-transport.js';

type Message = Record<string, unknown>;

/** A transport whose client is the test. `reads: false` is a client that does not read its output. */
async function connected({ reads = true, version = '2025-11-25' } = {}) {
  const stdin = new PassThrough();
  const written: string[] = [];
  const unread: (() => void)[] = [];
  const stdout = new Writable({
    highWaterMark: 16_384,
    write(chunk: Buffer, _encoding, done) {
      written.push(chunk.toString());
      if (reads) done();
      else unread.push(done);
    },
  });
  const transport = new StdioTransport(stdin, stdout);
  const received: Message[] = [];
  const errors: string[] = [];
  let closes = 0;
  transport.onmessage = (message) => received.push(message as Message);
  transport.onerror = ({ message }) => errors.push(message);
  transport.onclose = () => {
    closes += 1;
  };
  await transport.start();
  transport.setProtocolVersion(version);
  return {
    stdin,
    stdout,
    transport,
    received,
    errors,
    closes: () => closes,
    /** Sends bytes, and returns what came back. */
    async say(bytes: string | Buffer): Promise<unknown[]> {
      const before = written.length;
      stdin.write(bytes);
      await turn();
      return written.slice(before).map((line) => JSON.parse(line));
    },
    answer: (id: string | number, result: object = {}) =>
      transport.send({ jsonrpc: '2.0', id, result } as JSONRPCMessage),
    written,
    /** The client reads everything. */
    async catchUp() {
      while (unread.length > 0) {
        unread.shift()!();
        await turn();
      }
    },
  };
}

const request = (id: unknown, more: object = {}) => ({ jsonrpc: '2.0', id, method: 'ping', ...more });
const line = (value: unknown) => `${JSON.stringify(value)}\n`;
const error = (id: unknown, code: number, text: RegExp) => ({
  jsonrpc: '2.0',
  id,
  error: { code, message: expect.stringMatching(text) },
});

afterEach(() => {
  vi.useRealTimers();
});

describe('a message that cannot be read', () => {
  test.each<[what: string, bytes: string | Buffer, reply: object]>([
    ['bad JSON', '{"jsonrpc":\n', error(null, -32700, /not JSON/)],
    ['bytes that are not UTF-8', Buffer.of(0x22, 0xff, 0x22, 10), error(null, -32700, /UTF-8/)],
    ['a number', '7\n', error(null, -32600, /JSON object/)],
    ['null', 'null\n', error(null, -32600, /JSON object/)],
    ['parameters that are null', line(request(1, { params: null })), error(1, -32600, /params/)],
    ['parameters in a list', line(request('a', { params: [] })), error('a', -32600, /params/)],
    ['a fractional id', line(request(1.5)), error(null, -32600, /id must be/)],
    ['an id that is null', line(request(null)), error(null, -32600, /id must be/)],
    ['a method that is no text', line(request(2, { method: 7 })), error(2, -32600, /method/)],
    ['another version of JSON-RPC', line(request(3, { jsonrpc: '1.0' })), error(3, -32600, /jsonrpc/)],
    ['members that no message has', line(request(4, { more: 1 })), error(4, -32600, /members/)],
    ['an empty object', '{}\n', error(null, -32600, /jsonrpc/)],
  ])('is answered with an error that says why: %s', async (_what, bytes, reply) => {
    const { say, received, answer, errors } = await connected();
    expect(await say(bytes)).toEqual([reply]);
    expect(errors).toHaveLength(1);
    // The next one is read as ever.
    expect(await say(line(request(9)))).toEqual([]);
    expect(received).toEqual([request(9)]);
    await answer(9);
  });

  test('is not answered if it is a response, because the other side could answer that in turn', async () => {
    const { say, errors } = await connected();
    expect(await say(line({ jsonrpc: '2.0', id: 1, result: 3 }))).toEqual([]);
    expect(errors).toHaveLength(1);
  });

  test('does not include one after a byte order mark, with a carriage return, or after blank lines', async () => {
    const { say, received } = await connected();
    expect(await say(`\ufeff${JSON.stringify(request(1))}\r\n\n  \r\n${line(request(2))}`)).toEqual([]);
    expect(received).toEqual([request(1), request(2)]);
  });
});

describe('a message that is too long', () => {
  const LIMIT = 64 << 20;
  const piece = Buffer.alloc(1 << 20, 'x');

  test('is answered with the limit and its id, and the connection goes on', async () => {
    const { stdin, say, received, written } = await connected();
    stdin.write('{"method":"tools/call","params":{"text":"');
    for (let sent = 0; sent < LIMIT; sent += piece.length) stdin.write(piece);
    await turn();
    expect(await say('"},"jsonrpc":"2.0","id":7}\n')).toEqual([
      error(7, -32600, new RegExp(`${LIMIT} are allowed`)),
    ]);
    await say(line(request(8)));
    expect(received).toEqual([request(8)]);
    expect(written).toHaveLength(1);
  });

  test('has an id only where no other object can have it', () => {
    const id = (text: string) => idAtEnds(Buffer.from(text.slice(0, 40)), Buffer.from(text.slice(-40)));
    expect(id('{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"x":"')).toBe('a');
    expect(id(`{"method":"m","params":{"x":"${'x'.repeat(50)}"},"jsonrpc":"2.0","id":12}`)).toBe(12);
    expect(id(`{"method":"m","params":{"id":1,"x":"${'x'.repeat(50)}"}}`)).toBe(null);
    expect(id(`{"method":"m","params":{"x":"${'x'.repeat(50)}","id":5}}`)).toBe(null);
  });
});

test('a line costs work in proportion to its length, however many pieces it comes in', () => {
  const concat = vi.spyOn(Buffer, 'concat');
  try {
    const splitter = new LineSplitter(1 << 20);
    const lines = Array.from({ length: 1000 }, () => [...splitter.push(Buffer.alloc(100, 'x'))]).flat();
    expect(lines).toEqual([]);
    const [whole] = [...splitter.push(Buffer.from('\n'))];
    expect(whole).toMatchObject({ bytes: Buffer.alloc(100_000, 'x') });
    // One copy of the whole line, and none for a piece.
    expect(concat).toHaveBeenCalledTimes(1);
  } finally {
    concat.mockRestore();
  }
});

test('lines are the same, in whatever pieces their bytes come', () => {
  const text = 'a\n\nbcd\nlast';
  for (let size = 1; size <= text.length; size += 1) {
    const splitter = new LineSplitter(100);
    const lines: unknown[] = [];
    for (let at = 0; at < text.length; at += size)
      lines.push(...splitter.push(Buffer.from(text.slice(at, at + size))));
    lines.push(...splitter.end());
    expect(lines.map((one) => (one as { bytes: Buffer }).bytes.toString())).toEqual(['a', '', 'bcd', 'last']);
  }
});

describe('a batch', () => {
  const both = line([request(1), request('b'), { jsonrpc: '2.0', method: 'notifications/initialized' }]);

  test('has an error in its answer for each part that cannot be read', async () => {
    const { say, received, answer, written } = await connected({ version: '2025-03-26' });
    expect(await say(line([request(2), 7]))).toEqual([]);
    expect(received).toEqual([request(2)]);
    await answer(2);
    expect(written.map((one) => JSON.parse(one))).toEqual([
      [error(null, -32600, /JSON object/), { jsonrpc: '2.0', id: 2, result: {} }],
    ]);
    expect(await say(line([7, {}]))).toEqual([
      [error(null, -32600, /JSON object/), error(null, -32600, /jsonrpc/)],
    ]);
  });

  test('is one list of answers, in the order in which they came', async () => {
    const { say, answer, written } = await connected({ version: '2025-03-26' });
    await say(both);
    await answer('b', { second: true });
    expect(written).toEqual([]);
    await answer(1);
    expect(written.map((one) => JSON.parse(one))).toEqual([
      [
        { jsonrpc: '2.0', id: 'b', result: { second: true } },
        { jsonrpc: '2.0', id: 1, result: {} },
      ],
    ]);
  });

  test('does not wait for a request that was cancelled', async () => {
    const { say, answer, written } = await connected({ version: '2025-03-26' });
    await say(both);
    await answer(1);
    await say(line({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 'b' } }));
    expect(written.map((one) => JSON.parse(one))).toEqual([[{ jsonrpc: '2.0', id: 1, result: {} }]]);
  });

  test('of notices alone has no answer', async () => {
    const { say } = await connected({ version: '2025-03-26' });
    expect(await say(line([{ jsonrpc: '2.0', method: 'notifications/initialized' }]))).toEqual([]);
  });

  test.each(['2024-11-05', '2025-06-18', '2025-11-25'])(
    'is refused in version %s, which has none',
    async (version) => {
      const { say, received } = await connected({ version });
      expect(await say(both)).toEqual([error(null, -32600, new RegExp(`2025-03-26.*${version}`))]);
      expect(received).toEqual([]);
    },
  );

  test('is refused if it is empty or too large', async () => {
    const { say, received } = await connected({ version: '2025-03-26' });
    const refusal = [error(null, -32600, /from 1 to 100/)];
    expect(await say('[]\n')).toEqual(refusal);
    expect(await say(line(Array.from({ length: 101 }, (_, id) => request(id))))).toEqual(refusal);
    expect(received).toEqual([]);
  });
});

describe('an id', () => {
  test('of a request in progress is refused for another, which does not reach the server', async () => {
    const { say, received, answer, written } = await connected();
    await say(line(request(1)));
    expect(await say(line(request(1)))).toEqual([error(null, -32600, /id 1 belongs/)]);
    // A text is another id than a number.
    expect(await say(line(request('1')))).toEqual([]);
    expect(received).toEqual([request(1), request('1')]);
    await answer(1);
    await say(line(request(1)));
    expect(received).toHaveLength(3);
    expect(written).toHaveLength(2);
  });

  test('can be used again after its request was cancelled', async () => {
    const { say, received } = await connected();
    await say(line(request(1)));
    await say(line({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }));
    expect(await say(line(request(1)))).toEqual([]);
    expect(received).toHaveLength(3);
  });
});

describe('the end of the input', () => {
  test('comes after the answers to all requests before it', async () => {
    const { stdin, say, answer, closes, written } = await connected();
    await say(line(request(1)) + line(request(2)));
    stdin.end();
    await turn();
    await answer(1);
    expect(closes()).toBe(0);
    await answer(2);
    expect(closes()).toBe(1);
    expect(written).toHaveLength(2);
  });

  test('closes at once if nothing is unanswered, even with a stream of changes open', async () => {
    const { stdin, say, closes, received } = await connected();
    await say(line(request(1, { method: 'subscriptions/listen' })));
    expect(received).toHaveLength(1);
    stdin.end();
    await turn();
    expect(closes()).toBe(1);
  });

  test('does not wait for a cancelled request, and not for ever for any other', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { stdin, say, closes, answer } = await connected();
    await say(line(request(1)) + line(request(2)));
    await say(line({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }));
    stdin.end();
    await turn();
    expect(closes()).toBe(0);
    vi.runAllTimers();
    expect(closes()).toBe(1);
    await expect(answer(2)).rejects.toThrow('closed');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('may come without a newline after the last message', async () => {
    const { stdin, received } = await connected();
    stdin.end(JSON.stringify(request(1)));
    await turn();
    expect(received).toEqual([request(1)]);
  });

  test('is seen if it came before the transport started', async () => {
    const stdin = new PassThrough();
    stdin.end();
    stdin.resume();
    await turn();
    const transport = new StdioTransport(stdin, new PassThrough());
    const closed = new Promise<void>((resolve) => {
      transport.onclose = resolve;
    });
    await transport.start();
    await closed;
  });

  test.each(['stdin', 'stdout'] as const)('is what a broken %s is, without a wait', async (which) => {
    const { say, closes, errors, ...streams } = await connected();
    await say(line(request(1)));
    streams[which].emit('error', new Error('EPIPE'));
    expect(closes()).toBe(1);
    expect(errors).toEqual(['EPIPE']);
  });
});

describe('a client that does not read its output', () => {
  const large = { text: 'x'.repeat(1 << 20) };
  const notice = (method: string, params: object) => ({ jsonrpc: '2.0', method, params }) as JSONRPCMessage;

  test('is not read from, until it reads', async () => {
    const { say, stdin, answer, received, catchUp } = await connected({ reads: false });
    await say(line(request(1)));
    for (let n = 0; n < 9; n += 1) await answer(100 + n, large);
    expect(stdin.isPaused()).toBe(true);
    await say(line(request(2)));
    expect(received).toEqual([request(1)]);
    await catchUp();
    await turn();
    expect(received).toEqual([request(1), request(2)]);
  });

  test('gets no progress that nobody kept, and of other notices each once', async () => {
    const { transport, answer, written, catchUp } = await connected({ reads: false });
    for (let n = 0; n < 9; n += 1) await answer(100 + n, large);
    for (let n = 0; n < 1000; n += 1) {
      await transport.send(notice('notifications/progress', { progressToken: 1, progress: n }));
      await transport.send(notice('notifications/resources/updated', { uri: 'qube://' }));
    }
    await catchUp();
    await turn();
    await catchUp();
    const notices = written.filter((one) => one.includes('notifications/'));
    expect(notices.map((one) => JSON.parse(one))).toEqual([
      notice('notifications/resources/updated', { uri: 'qube://' }),
    ]);
  });
});
