import type { ContentBlock } from './content.js';
import type { Service } from './service.js';
import type { Ports, ToolContext, Uses } from './tool.js';

/*
 * Everything that a plugin offers besides tools. All of it only reads: a resource, a completion or a change may use only
 * services whose effect is `read`, or the plugin does not load.
 */

/** Text or bytes; bytes are sent as base64. */
export type Content = { readonly text: string } | { readonly bytes: Uint8Array };

/** The request that a resource, a completion or a list of changes serves. */
export type ReadContext = Pick<ToolContext, 'signal' | 'session'>;

export type Variables = Readonly<Record<string, string>>;

/** Returns possible values. A client gets the first hundred of those that start with the typed text. */
export type Complete<U extends Uses = Uses> = (
  ports: Ports<U>,
  typed: string,
  context: ReadContext,
) => Promise<readonly string[]>;

/** A resource whose behaviour is a class, resolved from its plugin's container like a tool's handler. */
export interface ResourceHandler {
  read(variables: Variables, context: ReadContext): Promise<Content>;
  /** The current addresses of a resource with variables. */
  list?(context: ReadContext): Promise<readonly string[]>;
}

/** Content that a client reads by its address. */
export interface Resource<U extends Uses = Uses> {
  /** `qube://`, or with variables `qube://{name}`. A variable stands for one or more characters other than `/`. */
  readonly uri: string;
  readonly name: string;
  readonly title: string;
  /** For the model, like a tool's. */
  readonly description: string;
  readonly mimeType: string;
  readonly uses: U;
  readonly read?: (ports: Ports<U>, variables: Variables, context: ReadContext) => Promise<Content>;
  readonly list?: (ports: Ports<U>, context: ReadContext) => Promise<readonly string[]>;
  readonly handler?: new (...args: never[]) => ResourceHandler;
  /** By variable. */
  readonly complete?: Readonly<Record<string, Complete<U>>>;
}

export interface PromptArgument<U extends Uses = Uses> {
  readonly name: string;
  readonly description: string;
  readonly required?: true;
  readonly complete?: Complete<U>;
}

/** A task that a person picks from a menu: text for the model, with the person's arguments filled in. */
export interface Prompt<U extends Uses = Uses> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly arguments: readonly PromptArgument<U>[];
  /** The services that the completions of its arguments call. */
  readonly uses: U;
  /** Arguments that were not given are absent. Give it `text`, or `messages` for more than one text. */
  readonly text?: (given: Given) => string;
  readonly messages?: (given: Given) => readonly PromptMessage[];
}

type Given = Readonly<Record<string, string | undefined>>;

export interface PromptMessage {
  readonly role: 'user' | 'assistant';
  readonly content: ContentBlock;
}

/** The messages of a prompt, whichever way it has them. */
export function messagesOf(
  prompt: Pick<Prompt, 'text' | 'messages'>,
  given: Given,
): readonly PromptMessage[] {
  if (prompt.messages !== undefined) return prompt.messages(given);
  return [{ role: 'user', content: { type: 'text', text: prompt.text!(given) } }];
}

/** Yields the addresses whose contents have changed, while a client listens. They may belong to any plugin. */
export interface Changes<U extends Uses = Uses> {
  readonly uses: U;
  readonly of: (ports: Ports<U>, context: ReadContext) => AsyncIterable<string>;
}

/** Give it `read`, a function over the ports of `uses`, or `handler`, an `@injectable()` class. */
export function defineResource<U extends Record<string, Service>>(
  resource: Resource<U> &
    ({ read: NonNullable<Resource<U>['read']> } | { handler: NonNullable<Resource<U>['handler']> }),
): Resource<U> {
  return Object.freeze(resource);
}

export function definePrompt<U extends Record<string, Service>>(
  prompt: Prompt<U> &
    ({ text: NonNullable<Prompt<U>['text']> } | { messages: NonNullable<Prompt<U>['messages']> }),
): Prompt<U> {
  return Object.freeze(prompt);
}

export function defineChanges<U extends Record<string, Service>>(changes: Changes<U>): Changes<U> {
  return Object.freeze(changes);
}
