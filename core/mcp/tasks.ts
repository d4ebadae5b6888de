/**
 * Tasks: a call as an object that a client asks about, in place of a request that it holds open. Clients of 2025-11-25 ask for one;
 * clients of the later era declare the extension `io.modelcontextprotocol/tasks`, and get one if a call takes long.
 */
import { Refused, type Session } from '../api/index.js';
import { type BackgroundCall, type BackgroundCalls, KEPT_MILLISECONDS } from '../serve/calls.js';
import {
  CLIENT_CAPABILITIES_META_KEY,
  ProtocolError,
  ProtocolErrorCode,
  RELATED_TASK_META_KEY,
  type Server,
  type ServerContext,
  type StandardSchemaV1,
} from '../vendor/mcp.js';
import { refusalOf, resultOf, type ToolResult } from './results.js';

export const TASKS_EXTENSION = 'io.modelcontextprotocol/tasks';
/** Milliseconds between two questions about one task. */
const POLL_MILLISECONDS = 2_000;

/** What a server says that it can do, in the era of 2025. */
export const TASKS_CAPABILITY = { list: {}, cancel: {}, requests: { tools: { call: {} } } };

/** Whether the client declares the extension with this request. */
export function declaresTasks({ envelope }: ServerContext['mcpReq']): boolean {
  const capabilities = (envelope as Record<string, unknown> | undefined)?.[CLIENT_CAPABILITIES_META_KEY];
  const { extensions } = (capabilities ?? {}) as { extensions?: Record<string, unknown> };
  return extensions?.[TASKS_EXTENSION] !== undefined;
}

type Status = 'working' | 'completed' | 'failed' | 'cancelled';

/** A tool's own failure is a result, so no task fails. */
function statusOf({ outcome }: BackgroundCall): Status {
  if (outcome === undefined) return 'working';
  return outcome.kind === 'stopped' ? 'cancelled' : 'completed';
}

const times = ({ begun, changed }: BackgroundCall) => ({
  createdAt: new Date(begun).toISOString(),
  lastUpdatedAt: new Date(changed).toISOString(),
});

const messageOf = (call: BackgroundCall) =>
  call.outcome === undefined ? { statusMessage: call.status } : {};

/** A task as 2025-11-25 has it. */
export const taskOf = (call: BackgroundCall) => ({
  taskId: call.handle,
  status: statusOf(call),
  ...messageOf(call),
  ...times(call),
  ttl: KEPT_MILLISECONDS,
  pollInterval: POLL_MILLISECONDS,
});

/** A task as the extension has it. */
export const extensionTaskOf = (call: BackgroundCall) => ({
  taskId: call.handle,
  status: statusOf(call),
  ...messageOf(call),
  ...times(call),
  ttlMs: KEPT_MILLISECONDS,
  pollIntervalMs: POLL_MILLISECONDS,
});

/** The result of a call that has ended. */
export async function resultIn(call: BackgroundCall, served: ReadonlySet<string>): Promise<ToolResult> {
  const outcome = await call.ended;
  if (outcome.kind === 'result') return resultOf(outcome.result);
  return refusalOf(outcome.kind === 'refused' ? outcome.refusal : new Refused('failed'), served);
}

/** Whose tasks they are, and the names of the tools that it has. */
interface TaskOwner {
  readonly session: Session;
  readonly isModern: boolean;
  readonly served: ReadonlySet<string>;
}

/** Answers requests about tasks: `isModern` for the later era. */
export function answerTasks(
  server: Server,
  calls: BackgroundCalls,
  { session, isModern, served }: TaskOwner,
): void {
  const find = ({ taskId }: TaskParams): BackgroundCall => {
    const call = calls.find(taskId, session);
    if (call === undefined) throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Unknown task');
    return call;
  };
  if (isModern) {
    server.setRequestHandler('tasks/get', { params: ofTask }, async (params) => {
      const call = find(params);
      const result = statusOf(call) === 'completed' ? { result: await resultIn(call, served) } : {};
      return { ...extensionTaskOf(call), ...result };
    });
    // No call of ours asks for anything while it goes on.
    server.setRequestHandler('tasks/update', { params: ofTask }, (params) => {
      find(params);
      return {};
    });
    server.setRequestHandler('tasks/cancel', { params: ofTask }, (params) => {
      find(params).stop();
      return {};
    });
    return;
  }
  server.setRequestHandler('tasks/get', { params: ofTask }, (params) => taskOf(find(params)));
  server.setRequestHandler('tasks/list', { params: ofList }, () => ({
    tasks: session.isShared ? [] : calls.of(session).map(taskOf),
  }));
  server.setRequestHandler('tasks/result', { params: ofTask }, async (params) => ({
    ...(await resultIn(find(params), served)),
    _meta: { [RELATED_TASK_META_KEY]: { taskId: params.taskId } },
  }));
  server.setRequestHandler('tasks/cancel', { params: ofTask }, async (params) => {
    const call = find(params);
    if (call.outcome !== undefined)
      throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'The task has ended already');
    call.stop();
    await call.ended;
    return taskOf(call);
  });
}

interface TaskParams {
  readonly taskId: string;
}

/** Checks the parameters of a request about a task, in the form in which the SDK takes it. */
const ofTask = checked<TaskParams>((value) => typeof value.taskId === 'string', 'taskId must be a string');
const ofList = checked<Record<string, unknown>>(() => true, '');

function checked<T>(
  holds: (value: Record<string, unknown>) => boolean,
  message: string,
): StandardSchemaV1<T> {
  return {
    '~standard': {
      version: 1,
      vendor: 'qmcp',
      validate: (value) =>
        holds(value as Record<string, unknown>) ? { value: value as T } : { issues: [{ message }] },
    },
  };
}
