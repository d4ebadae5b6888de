import type { Readable, Writable } from 'node:stream';
import { serveStdio } from '../vendor/mcp.js';
import { ChangeWatcher } from './changes.js';
import { type McpOptions, mcpServer } from './server.js';
import { StdioTransport } from './stdio-transport.js';

export interface McpConnection {
  /** Resolves when the client has closed its end of the input and has its answers, or the connection is broken. */
  readonly closed: Promise<void>;
  /** Aborts the calls in progress and closes the connection. */
  close(): Promise<void>;
}

/** Serves one client on a pair of streams, in either era of the protocol. Nothing else may write to `stdout`. */
export function serveMcp(
  options: McpOptions & { readonly stdin: Readable; readonly stdout: Writable },
): McpConnection {
  const { stdin, stdout, log } = options;
  /** The client's subscriptions: addresses in the era of 2025, open streams in the later one. */
  const subscriptions = { addresses: new Set<string>(), streams: new Set<unknown>() };
  let notify = (_uri: string): void => {};
  const watcher = new ChangeWatcher(options.changes, (uri) => notify(uri));
  const updateWatcher = () =>
    watcher.setActive(subscriptions.addresses.size + subscriptions.streams.size > 0);

  // One client, whichever era it turns out to be of.
  const session = {};
  const transport = new StdioTransport(stdin, stdout);
  const handle = serveStdio(
    ({ era }) => {
      const subscriber = {
        subscribed: (uri: string) => {
          subscriptions.addresses.add(uri);
          updateWatcher();
        },
        unsubscribed: (uri: string) => {
          subscriptions.addresses.delete(uri);
          updateWatcher();
        },
      };
      const isModern = era === 'modern';
      const server = mcpServer({ ...options, session }, { isModern, subscribable: true, subscriber });
      notify = (uri) => {
        // In the later era the SDK knows which stream subscribed to which address.
        if (era === 'modern' || subscriptions.addresses.has(uri))
          server.sendResourceUpdated({ uri }).catch(() => {});
      };
      return server;
    },
    { transport, onerror: (error) => log(`mcp: ${error.message}`) },
  );
  // The SDK handles these messages itself and reports nothing, so read them before it does.
  const deliver = transport.onmessage;
  transport.onmessage = (message) => {
    if ('method' in message) {
      if (message.method === 'subscriptions/listen' && 'id' in message) subscriptions.streams.add(message.id);
      if (message.method === 'notifications/cancelled')
        subscriptions.streams.delete(message.params?.requestId);
      updateWatcher();
    }
    deliver?.(message);
  };
  const teardown = transport.onclose;
  const closed = new Promise<void>((resolve) => {
    transport.onclose = () => {
      watcher.setActive(false);
      teardown?.();
      resolve();
    };
  });
  return {
    closed,
    close: () => handle.close(),
  };
}
