import type { Service } from './service.js';
import type { Ports, ToolContext, Uses } from './tool.js';

/*
 * What a plugin offers a client besides tools. All of it only looks: a resource, a completion or a change may use no service
 * but one whose effect is `read`, or the plugin does not load.
 */

/** One of the two; bytes travel as base64. */
export type Content = { readonly text: string } | { readonly bytes: Uint8Array };

export type Variables = Readonly<Record<string, string>>;

/** What could be meant by what was typed so far. The first hundred are shown, of those that start with it. */
export type Complete<U extends Uses = Uses> = (
  ports: Ports<U>,
  typed: string,
  context: Pick<ToolContext, 'signal'>,
) => Promise<readonly string[]>;

/** A resource whose behaviour is a class, resolved from its plugin's container as a tool's handler is. */
export interface ResourceHandler {
  read(variables: Variables, context: Pick<ToolContext, 'signal'>): Promise<Content>;
  /** The addresses there are right now, of a resource with variables. */
  list?(context: Pick<ToolContext, 'signal'>): Promise<readonly string[]>;
}

/** Something a client reads by its address. */
export interface Resource<U extends Uses = Uses> {
  /** `qube://`, or with variables `qube://{name}`. A variable stands for one or more characters other than `/`. */
  readonly uri: string;
  readonly name: string;
  readonly title: string;
  /** For the model, as a tool's. */
  readonly description: string;
  readonly mimeType: string;
  readonly uses: U;
  readonly read?: (
    ports: Ports<U>,
    variables: Variables,
    context: Pick<ToolContext, 'signal'>,
  ) => Promise<Content>;
  readonly list?: (ports: Ports<U>, context: Pick<ToolContext, 'signal'>) => Promise<readonly string[]>;
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

/** A job a person can pick from a menu: words for the model, with the person's own filled in. */
export interface Prompt<U extends Uses = Uses> {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly arguments: readonly PromptArgument<U>[];
  /** What the completions of its arguments ask. */
  readonly uses: U;
  /** Arguments that were not given are absent. */
  readonly text: (given: Readonly<Record<string, string | undefined>>) => string;
}

/** Tells which addresses' contents have changed, for as long as somebody listens. Of any plugin's resources. */
export interface Changes<U extends Uses = Uses> {
  readonly uses: U;
  readonly of: (ports: Ports<U>, context: Pick<ToolContext, 'signal'>) => AsyncIterable<string>;
}

/** Give it `read`, a function over the ports of `uses`, or `handler`, an `@injectable()` class. */
export function defineResource<U extends Record<string, Service>>(
  resource: Resource<U> &
    ({ read: NonNullable<Resource<U>['read']> } | { handler: NonNullable<Resource<U>['handler']> }),
): Resource<U> {
  return Object.freeze(resource);
}

export function definePrompt<U extends Record<string, Service>>(prompt: Prompt<U>): Prompt<U> {
  return Object.freeze(prompt);
}

export function defineChanges<U extends Record<string, Service>>(changes: Changes<U>): Changes<U> {
  return Object.freeze(changes);
}
