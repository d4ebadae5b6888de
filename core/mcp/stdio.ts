import type { Readable, Writable } from 'node:stream';
import { StdioServerTransport, serveStdio } from '../vendor/mcp.js';
import { Watching } from './changes.js';
import { type McpOptions, mcpServer } from './server.js';

export interface McpConnection {
  /** Settled when the client has gone: its end of the input closed. */
  readonly closed: Promise<void>;
  /** Tells the calls in flight to stop and lets go of the client. */
  close(): Promise<void>;
}

/** Serves one client on a pair of streams, in either era. Nothing else may write to `stdout`. */
export function serveMcp(
  options: McpOptions & { readonly stdin: Readable; readonly stdout: Writable },
): McpConnection {
  const { stdin, stdout, log } = options;
  const closed = new Promise<void>((resolve) => {
    for (const event of ['end', 'close', 'error']) stdin.once(event, () => resolve());
    stdout.once('error', () => resolve());
  });
  /** What it has asked to hear of: addresses in the era of 2025, in the later one the streams that stand open. */
  const wanted = { addresses: new Set<string>(), streams: new Set<unknown>() };
  let tell = (_uri: string): void => {};
  const watching = new Watching(options.changes, (uri) => tell(uri));
  const consider = () => watching.wanted(wanted.addresses.size + wanted.streams.size > 0);

  const transport = new StdioServerTransport(stdin, stdout);
  const handle = serveStdio(
    ({ era }) => {
      const server = mcpServer(options, true, {
        subscribed: (uri) => {
          wanted.addresses.add(uri);
          consider();
        },
        unsubscribed: (uri) => {
          wanted.addresses.delete(uri);
          consider();
        },
      });
      tell = (uri) => {
        // In the later era the SDK knows which stream asked for which address.
        if (era === 'modern' || wanted.addresses.has(uri))
          server.sendResourceUpdated({ uri }).catch(() => {});
      };
      return server;
    },
    { transport, onerror: (error) => log(`mcp: ${error.message}`) },
  );
  // The SDK answers these itself and tells nobody, so we look as they pass.
  const deliver = transport.onmessage;
  transport.onmessage = (message) => {
    if ('method' in message) {
      if (message.method === 'subscriptions/listen' && 'id' in message) wanted.streams.add(message.id);
      if (message.method === 'notifications/cancelled') wanted.streams.delete(message.params?.requestId);
      consider();
    }
    deliver?.(message);
  };
  closed.then(() => watching.wanted(false));
  return {
    closed,
    close: async () => {
      watching.wanted(false);
      await handle.close();
    },
  };
}
