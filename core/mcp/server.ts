import { Refused } from '../api/index.js';
import { inScope } from '../serve/scope.js';
import type { Surface } from '../serve/served.js';
import { ProtocolError, ProtocolErrorCode, Server } from '../vendor/mcp.js';
import { INSTRUCTIONS } from './instructions.js';
import { withProgress } from './progress.js';
import { answerPrompts } from './prompts.js';
import { answerResources } from './resources.js';
import { refusalOf, resultOf } from './results.js';
import { describeTools, type SchemaForm } from './tool-descriptions.js';
import { toolSchemas } from './tool-schemas.js';

export interface McpOptions extends Surface {
  readonly version: string;
  /** Replaces the shipped instructions; undefined sends none. */
  readonly instructions?: string | undefined;
  /** How much a client is told of the schemas of tools; everything by default. */
  readonly schemas?: SchemaForm;
  /** Whom the server answers, by identity: state of plugins belongs to it. By default, each server has a session of its own. */
  readonly session?: object;
  /** Lines for the operator. */
  readonly log: (line: string) => void;
}

/** Receives a connection's subscriptions to addresses. */
export interface Subscriber {
  subscribed(uri: string): void;
  unsubscribed(uri: string): void;
}

/** Makes an MCP server over the loaded plugins, for either era of the protocol. */
export function mcpServer(options: McpOptions, subscribable: boolean, subscriber?: Subscriber): Server {
  const { tools, prompts, version } = options;
  const resources = [...options.resources, toolSchemas(tools)];
  const instructions = 'instructions' in options ? options.instructions : INSTRUCTIONS;
  const server = new Server(
    { name: 'qmcp', title: 'Qubes OS', version },
    {
      capabilities: {
        tools: {},
        resources: subscribable ? { subscribe: true } : {},
        completions: {},
        prompts: {},
      },
      ...(instructions !== undefined && { instructions }),
    },
  );
  const session = options.session ?? {};
  answerTools(server, options, session);
  answerResources(server, { resources }, session);
  answerPrompts(server, { prompts, resources });
  if (subscriber !== undefined) {
    server.setRequestHandler('resources/subscribe', ({ params: { uri } }) => {
      subscriber.subscribed(uri);
      return {};
    });
    server.setRequestHandler('resources/unsubscribe', ({ params: { uri } }) => {
      subscriber.unsubscribed(uri);
      return {};
    });
  }
  return server;
}

function answerTools(server: Server, { tools, log, schemas = 'full' }: McpOptions, session: object): void {
  const byName = new Map(tools.map((entry) => [entry.tool.name, entry]));
  const descriptions = describeTools(
    tools.map(({ tool }) => tool),
    schemas,
  );
  server.setRequestHandler('tools/list', () => ({ tools: descriptions }));

  server.setRequestHandler('tools/call', async ({ params }, { mcpReq }) => {
    const entry = byName.get(params.name);
    // The specification makes an unknown tool a protocol error; a tool's own failures are results.
    if (entry === undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Unknown tool: ${params.name}`);
    const progressToken = mcpReq._meta?.progressToken;
    const notify =
      progressToken === undefined
        ? undefined
        : (update: { progress: number; message: string }) => {
            const sent = { progressToken, ...update };
            mcpReq.notify({ method: 'notifications/progress', params: sent }).catch(() => {});
          };
    try {
      const output = await inScope(session, (scope) =>
        withProgress(
          notify,
          () => scope.waitingFor,
          (progress) => entry.call(params.arguments ?? {}, { signal: mcpReq.signal, progress, session }),
        ),
      );
      return resultOf(output);
    } catch (error) {
      if (error instanceof Refused) return refusalOf(error);
      log(`${params.name}: ${String(error)}`);
      return refusalOf(new Refused('failed'));
    }
  });
}
