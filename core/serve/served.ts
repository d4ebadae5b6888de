import type { Content, Prompt, ReadContext, Resource, Variables } from '../api/surface.js';

export type { ReadContext } from '../api/surface.js';

import type { Tool, ToolContext } from '../api/tool.js';
import type { TSchema } from '../vendor/typebox.js';
import type { BackgroundCalls } from './calls.js';

/** A tool that passed every check and may be shown to a client. */
export interface ServedTool {
  readonly plugin: string;
  readonly tool: Tool;
  /** Takes an agent's arguments as they came. Rejects with `Refused`, or with `InputRequired` if `context` has answers; with nothing else. */
  call(untrusted_input: unknown, context: ToolContext): Promise<Record<string, unknown>>;
}

/** A slow tool whose output may be the handle of a call in the background. */
export interface BackgroundTool extends Tool {
  /** The output of a call that is not in the background. */
  readonly result: TSchema;
}

/** A resource that passed every check. Its functions reject with `Refused` and with nothing else. */
export interface ServedResource {
  readonly plugin: string;
  readonly resource: Resource;
  /** The variables of an address, or undefined if it does not belong to this resource. */
  match(uri: string): Variables | undefined;
  read(variables: Variables, context: ReadContext): Promise<Content>;
  /** Its addresses: the only one, or those with the current values of its variables. */
  list(context: ReadContext): Promise<readonly string[]>;
  complete(variable: string, typed: string, context: ReadContext): Promise<readonly string[]>;
}

export interface ServedPrompt {
  readonly plugin: string;
  readonly prompt: Prompt;
  complete(argument: string, typed: string, context: ReadContext): Promise<readonly string[]>;
}

/** Everything that the loaded plugins offer. */
export interface Surface {
  readonly tools: readonly ServedTool[];
  readonly resources: readonly ServedResource[];
  readonly prompts: readonly ServedPrompt[];
  /** Sources of changes: each yields addresses whose contents have changed. They run in parallel. */
  readonly changes: readonly ((context: ReadContext) => AsyncIterable<string>)[];
  /** The calls that go on in the background; without it, none can. */
  readonly calls?: BackgroundCalls;
}
