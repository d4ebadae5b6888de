import type { Readable, Writable } from 'node:stream';
import type { JSONRPCMessage, RequestId, Transport } from '../vendor/mcp.js';
import { type ErrorReply, idAtEnds, invalidRequest, NotJson, parseLine, receive } from './json-rpc.js';
import { type Line, LineSplitter } from './lines.js';

/** The most bytes of one message from the client. */
const MAX_MESSAGE = 64 << 20;
/** Bytes of output that nobody has read after which no more input is read, and notices wait or are left out. */
const MAX_UNREAD = 8 << 20;
/** The most notices that wait for a client to read its output. */
const MAX_WAITING = 1000;
/** Milliseconds that requests have for their answers after the end of the input. Clients end a server after two seconds. */
const DRAIN_MILLISECONDS = 1_500;
/** The only version of the protocol that has batches, and the most messages in one. */
const BATCHES = '2025-03-26';
const MAX_BATCH = 100;

/** The last of the characters between messages. */
const BLANK = 0x20;

type Output = JSONRPCMessage | ErrorReply;

/**
 * One client on a pair of streams: a message a line. Unlike the SDK's transport, it answers what it cannot read, bounds what it
 * keeps in both directions, and answers the requests before the end of the input, within a time.
 */
export class StdioTransport implements Transport {
  onclose?: () => void;
  onerror?: (error: Error) => void;
  onmessage?: (message: JSONRPCMessage) => void;

  private readonly lines = new LineSplitter(MAX_MESSAGE);
  private version: string | undefined;
  /** Requests without an answer, each with its batch if it came in one. */
  private readonly unanswered = new Map<RequestId, Batch | undefined>();
  /** Requests whose answer is the end of a stream: no reason to wait. */
  private readonly streams = new Set<RequestId>();
  private readonly waiting = new Set<string>();
  private isBlocked = false;
  private drainTimer: ReturnType<typeof setTimeout> | undefined;
  private ended = false;
  private closed = false;

  constructor(
    private readonly stdin: Readable,
    private readonly stdout: Writable,
  ) {}

  async start(): Promise<void> {
    this.stdin.on('data', this.onData);
    this.stdin.on('end', this.onEnd);
    this.stdin.on('close', this.onEnd);
    this.stdin.on('error', this.onBroken);
    this.stdout.on('drain', this.onDrain);
    this.stdout.on('error', this.onBroken);
    if (this.stdin.readableEnded || this.stdin.destroyed) setImmediate(this.onEnd);
  }

  setProtocolVersion(version: string): void {
    this.version = version;
  }

  async send(message: JSONRPCMessage): Promise<void> {
    if (this.closed) throw new Error('the connection is closed');
    if ('method' in message) {
      this.notify(message);
      return;
    }
    const batch = message.id === undefined ? undefined : this.unanswered.get(message.id);
    if (batch === undefined) this.write(message);
    else batch.answer(message);
    this.settle(message.id);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.drainTimer);
    this.stdin.off('data', this.onData);
    this.stdin.off('end', this.onEnd);
    this.stdin.off('close', this.onEnd);
    this.stdin.off('error', this.onBroken);
    this.stdin.on('error', () => {});
    this.stdin.pause();
    this.stdout.off('drain', this.onDrain);
    this.stdout.off('error', this.onBroken);
    // Output that is written still may fail.
    this.stdout.on('error', () => {});
    this.onclose?.();
  }

  private readonly onData = (bytes: Buffer): void => {
    for (const line of this.lines.push(bytes)) this.read(line);
  };

  private readonly onEnd = (): void => {
    if (this.ended || this.closed) return;
    this.ended = true;
    // A last message without a newline is a message.
    for (const line of this.lines.end()) this.read(line);
    this.drainTimer = setTimeout(() => void this.close(), DRAIN_MILLISECONDS);
    this.closeIfDrained();
  };

  private readonly onBroken = (error: Error): void => {
    this.onerror?.(error);
    void this.close();
  };

  private readonly onDrain = (): void => {
    if (this.stdout.writableLength > MAX_UNREAD / 2) return;
    this.isBlocked = false;
    const late = [...this.waiting];
    this.waiting.clear();
    for (const text of late) this.writeText(text);
    if (!this.isBlocked && !this.ended) this.stdin.resume();
  };

  private read(line: Line): void {
    if (this.closed) return;
    if (!('bytes' in line)) {
      const message = `The message has ${line.size} bytes, and at most ${MAX_MESSAGE} are allowed`;
      this.refuse(invalidRequest(idAtEnds(line.head, line.tail), message));
    } else if (line.bytes.some((byte) => byte > BLANK)) this.parse(line.bytes);
  }

  private parse(bytes: Buffer): void {
    try {
      const value = parseLine(bytes);
      if (Array.isArray(value)) this.receiveBatch(value);
      else this.receiveOne(value);
    } catch (error) {
      if (!(error instanceof NotJson)) throw error;
      this.refuse(error.reply);
    }
  }

  private receiveOne(value: unknown, batch?: Batch): void {
    const received = receive(value);
    if (!('message' in received)) {
      this.refuse(received.reply, batch);
      return;
    }
    const { message } = received;
    if ('method' in message && 'id' in message) {
      const { id, method } = message;
      if (this.unanswered.has(id) || this.streams.has(id)) {
        // An answer with that id would be taken for the answer of the other request.
        const text = `The id ${JSON.stringify(id)} belongs to a request in progress`;
        this.refuse(invalidRequest(null, text), batch);
        return;
      }
      if (method === 'subscriptions/listen') this.streams.add(id);
      else this.unanswered.set(id, batch);
      batch?.expect();
    } else if ('method' in message && message.method === 'notifications/cancelled') {
      // A request that is cancelled has no answer.
      const { requestId } = (message.params ?? {}) as { requestId?: RequestId };
      if (requestId !== undefined) {
        this.unanswered.get(requestId)?.answer();
        this.settle(requestId);
      }
    }
    this.onmessage?.(message);
  }

  private receiveBatch(values: readonly unknown[]): void {
    if (this.version !== BATCHES) {
      const instead = this.version === undefined ? 'a connection without that version' : this.version;
      this.refuse(
        invalidRequest(null, `Only version ${BATCHES} of the protocol has batches, not ${instead}`),
      );
    } else if (values.length === 0 || values.length > MAX_BATCH)
      this.refuse(invalidRequest(null, `A batch has from 1 to ${MAX_BATCH} messages`));
    else {
      const batch = new Batch((answers) => this.writeText(JSON.stringify(answers)));
      batch.expect();
      for (const value of values) this.receiveOne(value, batch);
      batch.answer();
    }
  }

  private refuse(reply: ErrorReply | undefined, batch?: Batch): void {
    this.onerror?.(new Error(reply?.error.message ?? 'A response from the client is malformed'));
    if (reply === undefined) return;
    if (batch === undefined) this.write(reply);
    else {
      batch.expect();
      batch.answer(reply);
    }
  }

  private settle(id: RequestId | undefined): void {
    if (id === undefined) return;
    this.unanswered.delete(id);
    this.streams.delete(id);
    this.closeIfDrained();
  }

  private closeIfDrained(): void {
    if (this.ended && this.unanswered.size === 0) void this.close();
  }

  /** While the client does not read its output, progress is left out, and other notices wait, each once. */
  private notify(message: JSONRPCMessage & { method: string }): void {
    if (!this.isBlocked) this.write(message);
    else if (message.method !== 'notifications/progress' && this.waiting.size < MAX_WAITING)
      this.waiting.add(JSON.stringify(message));
  }

  private write(message: Output): void {
    this.writeText(JSON.stringify(message));
  }

  private writeText(text: string): void {
    this.stdout.write(`${text}\n`);
    if (this.stdout.writableLength <= MAX_UNREAD || this.isBlocked) return;
    this.isBlocked = true;
    this.stdin.pause();
  }
}

/** Collects the answers to the messages of a batch, and sends them together. */
class Batch {
  private readonly answers: Output[] = [];
  private expected = 0;

  constructor(private readonly send: (answers: readonly Output[]) => void) {}

  expect(): void {
    this.expected += 1;
  }

  /** Without an answer, one is not expected any more. */
  answer(answer?: Output): void {
    if (answer !== undefined) this.answers.push(answer);
    this.expected -= 1;
    if (this.expected === 0 && this.answers.length > 0) this.send(this.answers);
  }
}
