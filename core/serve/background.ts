/** The way for a tool to go on without its request: `background: true`, and two tools that follow such a call. */
import { LIMITS } from '../api/generated/limits.js';
import { describedInput, Refused, type Tool, type ToolContext } from '../api/index.js';
import { isObject, lazily } from '../ports/values.js';
import { Compile, type TSchema, Type } from '../vendor/typebox.js';
import type { BackgroundCall, BackgroundCalls } from './calls.js';
import { invalidRequest } from './faults.js';
import type { BackgroundTool, ServedTool } from './served.js';

/** The names of the server's own tools. */
export const OWN_TOOLS = ['call_result', 'call_stop'] as const;

const closed = { additionalProperties: false };
const Handle = Type.String();
const HANDLE = 'the handle from a result with `running`';
const { background: Background } = describedInput(
  { background: Type.Optional(Type.Boolean()) },
  { background: { description: 'return a handle for call_result', default: false } },
).properties;

/** The tools with which an agent follows a call in the background. */
export function backgroundTools(calls: BackgroundCalls): ServedTool[] {
  const find = (handle: string, { session }: ToolContext): BackgroundCall => {
    const call = calls.find(handle, session);
    if (call === undefined) throw new Refused('not-found');
    return call;
  };
  const result = ownTool(
    {
      name: 'call_result',
      title: 'Read the result of a call in the background',
      description: 'The result of a call that was begun with `background`, or its `status` while it runs.',
      effect: 'read',
      input: describedInput(
        { handle: Handle, wait: Type.Optional(Type.Integer({ minimum: 0 })) },
        {
          handle: HANDLE,
          wait: {
            description: `seconds to wait for the result, ${LIMITS.output_wait_seconds} at most`,
            default: 0,
          },
        },
      ),
      output: Type.Object(
        {
          running: Type.Boolean(),
          tool: Type.String(),
          status: Type.Optional(Type.String()),
          result: Type.Optional(Type.Object({})),
        },
        closed,
      ),
    },
    async ({ handle, wait = 0 }: { handle: string; wait?: number }, context) => {
      const call = find(handle, context);
      if (call.outcome === undefined && wait > 0)
        await endsWithin(call, Math.min(wait, LIMITS.output_wait_seconds), context);
      const { outcome, tool, status } = call;
      if (outcome === undefined) return { running: true, tool, status };
      if (outcome.kind === 'stopped') return { running: false, tool, status: 'stopped' };
      if (outcome.kind === 'refused') throw outcome.refusal;
      return { running: false, tool, result: outcome.result };
    },
  );
  const stop = ownTool(
    {
      name: 'call_stop',
      title: 'Stop a call in the background',
      description: 'Stops a call that was begun with `background`. What it has done already stays done.',
      effect: 'write',
      idempotent: true,
      input: describedInput({ handle: Handle }, { handle: HANDLE }),
      output: Type.Object({ running: Type.Boolean() }, closed),
    },
    async ({ handle }: { handle: string }, context) => {
      const call = find(handle, context);
      call.stop();
      await call.ended;
      return { running: false };
    },
  );
  return [result, stop];
}

/** The same tools; those that are slow take `background`. A tool with an argument of that name does it its own way. */
export function withBackground(tools: readonly ServedTool[], calls: BackgroundCalls): ServedTool[] {
  return tools.map((served) =>
    served.tool.slow && !('background' in propertiesOf(served.tool.input))
      ? inBackground(served, calls)
      : served,
  );
}

function inBackground({ plugin, tool, call }: ServedTool, calls: BackgroundCalls): ServedTool {
  const input = Type.Object({ ...propertiesOf(tool.input), background: Background }, closed);
  const slow: BackgroundTool = { ...tool, input, output: handleOr(tool.output), result: tool.output };
  const shape = lazily(() => Compile(input));
  return Object.freeze({
    plugin,
    tool: Object.freeze(slow),
    call: async (untrusted_input: unknown, context: ToolContext) => {
      if (!shape().Check(untrusted_input)) throw invalidRequest(input, shape().Errors(untrusted_input)[1]);
      const { background, ...own } = untrusted_input as Record<string, unknown>;
      if (background !== true) return call(own, context);
      const { session } = context;
      const begun = calls.begin(tool.name, session, ({ signal, progress }) =>
        // Nobody waits there for a question.
        call(own, { signal, progress, ...(session && { session }) }),
      );
      return { running: true, handle: begun.handle };
    },
  });
}

/** What a tool returns, or the handle of a call in the background. */
function handleOr(output: TSchema): TSchema {
  const { properties, required = [], ...others } = output as TSchema & Shape;
  const either = [{ required }, { required: ['running', 'handle'] }];
  const own = { running: Type.Boolean(), handle: Handle };
  return { ...others, properties: { ...own, ...properties }, anyOf: either } as unknown as TSchema;
}

interface Shape {
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly required?: readonly string[];
}

const propertiesOf = (schema: TSchema) => (schema as Shape).properties ?? {};

/** A tool of the server itself. It calls nothing, so no contract bounds it. */
function ownTool<I>(
  tool: Omit<Tool, 'uses' | 'upholds'>,
  run: (input: I, context: ToolContext) => Promise<Record<string, unknown>>,
): ServedTool {
  const shape = lazily(() => Compile(tool.input));
  return Object.freeze({
    plugin: 'qmcp',
    tool: Object.freeze({ ...tool, uses: {}, upholds: [] }),
    call: async (untrusted_input: unknown, context: ToolContext) => {
      if (!isObject(untrusted_input) || !shape().Check(untrusted_input))
        throw invalidRequest(tool.input, shape().Errors(untrusted_input)[1]);
      return run(untrusted_input as I, context);
    },
  });
}

/** Resolves when the call has ended, the seconds are over, or the caller has gone. */
export async function endsWithin(
  call: BackgroundCall,
  seconds: number,
  { signal }: Pick<ToolContext, 'signal'>,
): Promise<void> {
  let onAbort = () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    onAbort = resolve;
    timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) resolve();
  });
  try {
    await Promise.race([call.ended, over]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
