import type { Readable, Writable } from 'node:stream';
import { ProtocolError, ProtocolErrorCode, Server } from '@modelcontextprotocol/server';
import { StdioServerTransport, serveStdio } from '@modelcontextprotocol/server/stdio';
import { Refused } from '../api/index.js';
import type { ServedTool } from '../api/served.js';
import { annotationsOf } from './annotations.js';
import { advertisedOutput, refusalOf, resultOf } from './results.js';

const INSTRUCTIONS =
  'You work with a bounded set of qubes (virtual machines) on a Qubes OS host; qube_list shows them. ' +
  'A qube you may not use and a qube that does not exist give the same answer: not-found. ' +
  'Make a qube with qube_spawn, start it, run commands in it with exec_run, and remove it when you are done.';

export interface McpOptions {
  readonly tools: readonly ServedTool[];
  readonly version: string;
  /** Lines for the operator. */
  readonly log: (line: string) => void;
}

/** One MCP server instance over the loaded tools, for whichever protocol era a connection speaks. */
export function mcpServer({ tools, version, log }: McpOptions): Server {
  const byName = new Map(tools.map((entry) => [entry.tool.name, entry]));
  const server = new Server(
    { name: 'qmcp', title: 'Qubes OS', version },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  );

  server.setRequestHandler('tools/list', () => ({
    tools: tools.map(({ tool }) => ({
      name: tool.name,
      title: tool.title,
      description: tool.description,
      inputSchema: tool.input as { type: 'object' },
      outputSchema: advertisedOutput(tool.output),
      annotations: annotationsOf(tool),
    })),
  }));

  server.setRequestHandler('tools/call', async ({ params }, { mcpReq }) => {
    const entry = byName.get(params.name);
    // The specification makes an unknown tool a protocol error; a tool's own failures are results.
    if (entry === undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Unknown tool: ${params.name}`);
    const progressToken = mcpReq._meta?.progressToken;
    let progress = 0;
    try {
      const output = await entry.call(params.arguments ?? {}, {
        signal: mcpReq.signal,
        progress: (message) => {
          if (progressToken === undefined) return;
          progress += 1;
          const update = { progressToken, progress, message };
          mcpReq.notify({ method: 'notifications/progress', params: update }).catch(() => {});
        },
      });
      return resultOf(output);
    } catch (error) {
      if (error instanceof Refused) return refusalOf(error);
      log(`${params.name}: ${String(error)}`);
      return refusalOf(new Refused('failed'));
    }
  });
  return server;
}

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
  const handle = serveStdio(() => mcpServer(options), {
    transport: new StdioServerTransport(stdin, stdout),
    onerror: (error) => log(`mcp: ${error.message}`),
  });
  return { closed, close: () => handle.close() };
}
