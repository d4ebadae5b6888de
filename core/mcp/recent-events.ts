import type { EventStore, JSONRPCMessage } from '../vendor/mcp-http.js';

/** How much of what was sent is kept: enough for a stream that broke off a moment ago. */
const MAX_EVENTS = 256;
const MAX_CHARACTERS = 4 << 20;

interface Event {
  readonly id: string;
  readonly stream: string;
  readonly message: JSONRPCMessage;
  readonly size: number;
}

/** Keeps the latest messages of a session, for a client that resumes a stream with `Last-Event-ID`. */
export class RecentEvents implements EventStore {
  private readonly events: Event[] = [];
  private count = 0;
  private size = 0;

  async storeEvent(stream: string, message: JSONRPCMessage): Promise<string> {
    this.count += 1;
    const event = { id: String(this.count), stream, message, size: JSON.stringify(message).length };
    this.events.push(event);
    this.size += event.size;
    // The last one stays, however large: its stream may be about to break off.
    while (this.events.length > MAX_EVENTS || (this.size > MAX_CHARACTERS && this.events.length > 1))
      this.size -= this.events.shift()!.size;
    return event.id;
  }

  async getStreamIdForEventId(id: string): Promise<string | undefined> {
    return this.events.find((event) => event.id === id)?.stream;
  }

  async replayEventsAfter(
    id: string,
    { send }: { send: (id: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const at = this.events.findIndex((event) => event.id === id);
    const { stream } = this.events[at]!;
    // The event that begins a stream has no message.
    for (const event of this.events.slice(at + 1))
      if (event.stream === stream && 'jsonrpc' in event.message) await send(event.id, event.message);
    return stream;
  }
}
