import { InputRequired, type LogLevel, Refused, type Session, type Tool } from '../api/index.js';
import { endsWithin } from '../serve/background.js';
import type { BackgroundCalls } from '../serve/calls.js';
import { inScope } from '../serve/scope.js';
import type { ServedTool, Surface } from '../serve/served.js';
import {
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  Server,
  type ServerContext,
} from '../vendor/mcp.js';
import { INSTRUCTIONS } from './instructions.js';
import { withProgress } from './progress.js';
import { answerPrompts } from './prompts.js';
import { answersIn, questionOf, requestState } from './questions.js';
import { answerResources } from './resources.js';
import { refusalOf, resultOf, type ToolResult } from './results.js';
import {
  answerTasks,
  declaresTasks,
  extensionTaskOf,
  resultIn,
  TASKS_CAPABILITY,
  TASKS_EXTENSION,
  taskOf,
} from './tasks.js';
import { describeTools, type SchemaForm } from './tool-descriptions.js';
import { toolSchemas } from './tool-schemas.js';

export interface McpOptions extends Surface {
  readonly version: string;
  /** Replaces the shipped instructions; undefined sends none. */
  readonly instructions?: string | undefined;
  /** How much a client is told of the schemas of tools; everything by default. */
  readonly schemas?: SchemaForm;
  /** Whom the server answers, by identity: state of plugins belongs to it. By default, each server has a session of its own. */
  readonly session?: Session;
  /** The session ends with this server, and the calls that it has in the background. */
  readonly ownsSession?: boolean;
  /** Lines for the operator. */
  readonly log: (line: string) => void;
}

/** Receives a connection's subscriptions to addresses. */
export interface Subscriber {
  subscribed(uri: string): void;
  unsubscribed(uri: string): void;
}

/** For whom a server is made. */
export interface Connection {
  /** The era after 2025, whose requests stand alone. */
  readonly isModern?: boolean;
  readonly subscribable: boolean;
  readonly subscriber?: Subscriber;
}

/** Makes an MCP server over the loaded plugins, for either era of the protocol. */
export function mcpServer(
  options: McpOptions,
  { isModern = false, subscribable, subscriber }: Connection,
): Server {
  const { tools, prompts, version, calls } = options;
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
        ...(!isModern && { logging: {} }),
        ...(calls && (isModern ? { extensions: { [TASKS_EXTENSION]: {} } } : { tasks: TASKS_CAPABILITY })),
      },
      ...(instructions !== undefined && { instructions }),
      requestState,
    },
  );
  const session = options.session ?? {};
  answerTools(server, options, session, isModern);
  const served = new Set(tools.map(({ tool }) => tool.name));
  if (calls !== undefined) answerTasks(server, calls, { session, isModern, served });
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

/** Seconds that a call may take before a client gets a task in place of its result. */
const PATIENCE_SECONDS = 5;

function answerTools(
  server: Server,
  { tools, log, calls, schemas = 'full' }: McpOptions,
  session: Session,
  isModern: boolean,
): void {
  const byName = new Map(tools.map((entry) => [entry.tool.name, entry]));
  const served = new Set(byName.keys());
  const descriptions = describeTools(
    tools.map(({ tool }) => tool),
    { form: schemas, withTasks: calls !== undefined && !isModern },
  );
  /** What the client can do: said at the start of a connection, or with each request. */
  const capabilitiesIn = ({ envelope }: McpRequest): ClientCapabilities =>
    (isModern
      ? (envelope as Record<string, unknown> | undefined)?.[CLIENT_CAPABILITIES_META_KEY]
      : server.getClientCapabilities()) ?? {};
  server.setRequestHandler('tools/list', (_request, { mcpReq }) => {
    const client = capabilitiesIn(mcpReq);
    return { tools: descriptions.filter((_, at) => missingFor(tools[at]!.tool, client).length === 0) };
  });

  server.setRequestHandler('tools/call', async ({ params }, context) => {
    const { mcpReq } = context;
    const entry = byName.get(params.name);
    // The specification makes an unknown tool a protocol error; a tool's own failures are results.
    if (entry === undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, `Unknown tool: ${params.name}`);
    const client = capabilitiesIn(mcpReq);
    const missing = missingFor(entry.tool, client);
    if (missing.length > 0)
      throw new MissingRequiredClientCapabilityError({
        requiredCapabilities: Object.fromEntries(missing.map((capability) => [capability, {}])),
      });
    const given = params.arguments ?? {};
    const wantsTask = !isModern && 'task' in params && params.task !== undefined;
    if (wantsTask && !(calls && entry.tool.slow))
      throw new ProtocolError(ProtocolErrorCode.MethodNotFound, `${params.name} cannot be a task`);
    if (calls && entry.tool.slow && (wantsTask || (isModern && declaresTasks(mcpReq))))
      return asTask(entry, given, { mcpReq, calls, session, wantsTask, served });
    const work = (progress: (message: string) => void) =>
      entry.call(given, {
        signal: mcpReq.signal,
        progress,
        session,
        log: logTo(mcpReq),
        ...(client.elicitation && { answers: answersIn(params.name, context) }),
      });
    try {
      return resultOf(
        await inScope(session, (scope) => withProgress(notifierOf(mcpReq), () => scope.waitingFor, work)),
      );
    } catch (error) {
      if (error instanceof Refused) return refusalOf(error, served);
      if (error instanceof InputRequired)
        return (await questionOf(error, params.name, context)) as unknown as ToolResult;
      log(`${params.name}: ${String(error)}`);
      return refusalOf(new Refused('failed'), served);
    }
  });
}

type McpRequest = ServerContext['mcpReq'];

const missingFor = ({ requires = [] }: Tool, client: ClientCapabilities) =>
  requires.filter((capability) => client[capability] === undefined);

/** Sends notices of a tool to the client, if they are as grave as it asked for. */
const logTo = (mcpReq: McpRequest) => (level: LogLevel, message: string) => {
  mcpReq.log(level, message).catch(() => {});
};

/** Sends progress to a client that asked for it. */
function notifierOf(mcpReq: McpRequest) {
  const progressToken = mcpReq._meta?.progressToken;
  if (progressToken === undefined) return undefined;
  return (update: { progress: number; message: string }) => {
    const params = { progressToken, ...update };
    mcpReq.notify({ method: 'notifications/progress', params }).catch(() => {});
  };
}

interface TaskRequest {
  readonly mcpReq: McpRequest;
  readonly calls: BackgroundCalls;
  readonly session: Session;
  /** The client asked for a task; without that, a call that ends soon has its result as its answer. */
  readonly wantsTask: boolean;
  readonly served: ReadonlySet<string>;
}

async function asTask(
  { tool, call }: ServedTool,
  given: unknown,
  { mcpReq, calls, session, wantsTask, served }: TaskRequest,
): Promise<ToolResult> {
  const notify = notifierOf(mcpReq);
  const begun = calls.begin(tool.name, session, ({ signal, progress }) =>
    call(given, { signal, progress, session }),
  );
  // The content is for the SDK, which takes every answer to a call for a result.
  if (wantsTask) return { content: [], task: taskOf(begun) } as unknown as ToolResult;
  const waiting = () => endsWithin(begun, PATIENCE_SECONDS, mcpReq);
  await withProgress(notify, () => begun.status, waiting);
  if (begun.outcome === undefined && mcpReq.signal.aborted) begun.stop();
  if (begun.outcome !== undefined) return resultIn(begun, served);
  return { content: [], resultType: 'task', ...extensionTaskOf(begun) } as unknown as ToolResult;
}
