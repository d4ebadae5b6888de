import type { Static, TSchema } from '../vendor/typebox.js';
import type { Invariant } from './invariant.js';
import type { Ask, ClientCapability } from './question.js';
import type { Effect, Port, Service } from './service.js';

/** A client's session. What a plugin keeps for a client belongs to its session, by identity. */
export interface Session {
  /** Several clients may share it: what one of them has is found by a handle that nobody can guess, and never listed. */
  readonly isShared?: boolean;
}

/** How grave a notice is. */
export type LogLevel = 'debug' | 'info' | 'notice' | 'warning' | 'error';

/** The call that a tool serves. */
export interface ToolContext {
  /** Aborted when the client cancels the call or goes away. */
  readonly signal: AbortSignal;
  /** Whose call this is. Without it, everybody shares one session. */
  readonly session?: Session;
  /** Sends a progress line to the client, when the client asked for progress. */
  progress(message: string): void;
  /** Sends a notice to the client, which shows those that are grave enough for it. Only clients of the 2025 era have notices. */
  log?(level: LogLevel, message: string): void;
  /** The answers that came with the call, by the names of their questions. Absent if nobody can be asked. */
  readonly answers?: Readonly<Record<string, unknown>>;
}

/** The call that a tool serves, and its plugin's options. */
export interface RunContext extends ToolContext {
  log(level: LogLevel, message: string): void;
  /**
   * The plugin's options from the configuration, `options.<id>`. `schema` must be the one in `definePlugin`; the values fit it
   * and have its types.
   */
  options<S extends TSchema>(schema: S): Static<S>;
  /**
   * Asks the person at the client, and returns the answer, or undefined if the person refuses. Without an answer yet, it throws: the call ends,
   * and begins again from its start with the answer. So ask before the first call of a service, and let no `catch` hold it up. Where nobody can
   * be asked, the call is refused as `conflict`; a tool with `requires: ['elicitation']` is not offered there.
   */
  readonly ask: Ask;
}

export type Uses = Readonly<Record<string, Service>>;
export type Ports<U extends Uses> = { readonly [K in keyof U]: Port<U[K]> };

/** A tool whose behaviour is a class, resolved from its plugin's container: see `defineTool`. */
export interface ToolHandler<I = unknown, O = unknown> {
  run(input: I, context: RunContext): Promise<O>;
}

export interface Tool<I extends TSchema = TSchema, O extends TSchema = TSchema, U extends Uses = Uses> {
  /** `area_verb`, lower case: what the model calls it. */
  readonly name: string;
  readonly title: string;
  /** For the model: what it does, what it needs, what comes back. Static text only. */
  readonly description: string;
  /** The worst that a call can do. A change that the agent's tools cannot undo is `destroy`, even if it only replaces something. */
  readonly effect: Effect;
  /** A second call with the same arguments, right after the first, changes nothing more. Of no meaning if the effect is `read`. */
  readonly idempotent?: boolean;
  readonly input: I;
  readonly output: O;
  /** The services this tool calls; each must be among its plugin's services. */
  readonly uses: U;
  /** The invariants that bound what this tool can do. A tool that writes or destroys must name at least one. */
  readonly upholds: readonly Invariant[];
  /** The tool can reach things outside the host, such as a qube's network. */
  readonly openWorld?: boolean;
  /** A call can take longer than clients wait: a minute. An agent can let it go on in the background, with `background: true`. */
  readonly slow?: boolean;
  /** The capabilities that a client needs. Other clients do not get the tool. */
  readonly requires?: readonly ClientCapability[];
  readonly run?: (ports: Ports<U>, input: Static<I>, context: RunContext) => Promise<Static<O>>;
  readonly handler?: new (...args: never[]) => ToolHandler<Static<I>, Static<O>>;
}

/**
 * Declares a tool. Give it `run`, a function over the ports of `uses`; or `handler`, an `@injectable()` class that takes
 * its ports by `@inject(portOf(service))` and is resolved from the plugin's own container.
 */
export function defineTool<I extends TSchema, O extends TSchema, U extends Uses>(
  tool: Tool<I, O, U> &
    ({ run: NonNullable<Tool<I, O, U>['run']> } | { handler: NonNullable<Tool<I, O, U>['handler']> }),
): Tool<I, O, U> {
  return Object.freeze(tool);
}

const tokens = new WeakMap<Service, symbol>();

/** The injection token of a service's port. Only the container of a plugin that declared the service knows it. */
export function portOf(service: Service): symbol {
  let token = tokens.get(service);
  if (token === undefined) {
    token = Symbol(`port ${service.name}`);
    tokens.set(service, token);
  }
  return token;
}
