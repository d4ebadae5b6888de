import type { TSchema } from '../vendor/typebox.js';
import type { Service } from './service.js';
import type { Changes, Prompt, Resource } from './surface.js';
import type { Tool } from './tool.js';

/** The version of this package's contract with plugins. A plugin that names another is not loaded. */
export const API_VERSION = 1;

export interface Plugin {
  /** Lower-case name; its services are `qmcp.<id>.*`. */
  readonly id: string;
  readonly apiVersion: number;
  readonly title: string;
  readonly services: readonly Service[];
  // biome-ignore lint/suspicious/noExplicitAny: a list of tools with different schemas has no narrower common type.
  readonly tools: readonly Tool<any, any, any>[];
  /** Sentences for a client's model about how its tools work together. Static text only. */
  readonly instructions?: readonly string[];
  /** Classes that its handlers share; each has one instance, in the plugin's own container. */
  readonly parts?: readonly (new (
    ...args: never[]
  ) => unknown)[];
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  readonly resources?: readonly Resource<any>[];
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  readonly prompts?: readonly Prompt<any>[];
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  readonly changes?: Changes<any>;
  /** Ids of plugins without which this one is not loaded. */
  readonly needs?: readonly string[];
  /** The shape of this plugin's options in the config file. */
  readonly options?: TSchema;
}

export function definePlugin(plugin: Plugin): Plugin {
  return Object.freeze(plugin);
}
