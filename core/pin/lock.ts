import { createHash } from 'node:crypto';
import { messagesOf, type Plugin, type Prompt } from '../api/index.js';
import type { Surface } from '../serve/served.js';
import { Compile, type Static, Type } from '../vendor/typebox.js';

/** The reviewed texts and schemas of one tool, resource or prompt: JSON. */
type ReviewedText = Readonly<Record<string, unknown>>;

const Names = Type.Record(Type.String(), Type.Record(Type.String(), Type.Unknown()));
const closed = { additionalProperties: false };

/** qmcp.lock.json: the texts for an agent's model that a person has reviewed. */
const Lock = Type.Object(
  {
    format: Type.Literal(1),
    instructions: Type.String(),
    plugins: Type.Record(
      Type.String(),
      Type.Object(
        {
          version: Type.String(),
          instructions: Type.Optional(Type.Array(Type.String())),
          tools: Names,
          resources: Names,
          prompts: Names,
        },
        closed,
      ),
    ),
  },
  closed,
);
export type Lock = Static<typeof Lock>;
export const KINDS = ['tools', 'resources', 'prompts'] as const;
export type Kind = (typeof KINDS)[number];

/** Undefined if the text is not a valid lock file. */
export function parseLock(untrusted_text: string): Lock | undefined {
  try {
    const untrusted_lock: unknown = JSON.parse(untrusted_text);
    return Compile(Lock).Check(untrusted_lock) ? untrusted_lock : undefined;
  } catch {
    return undefined;
  }
}

type Offered = Surface & { readonly plugins: readonly Pick<Plugin, 'id' | 'instructions'>[] };

/** The lock file for what is loaded now. `versions` is by plugin id, and includes plugins that offer nothing. */
export function currentLock(
  { tools, resources, prompts, plugins: loaded }: Offered,
  versions: ReadonlyMap<string, string>,
  instructions: string,
): Lock {
  const sentencesOf = (id: string) => loaded.find((plugin) => plugin.id === id)?.instructions ?? [];
  const plugins = new Map(
    [...versions].map(([id, version]) => {
      const instructions = [...sentencesOf(id)];
      return [id, { version, ...(instructions.length > 0 && { instructions }), ...empty() }] as const;
    }),
  );
  const put = (id: string, kind: Kind, name: string, shown: ReviewedText) => {
    const plugin = plugins.get(id);
    if (plugin === undefined) throw new Error(`the plugin ${id} has no version`);
    plugin[kind][name] = JSON.parse(JSON.stringify(shown)) as Record<string, unknown>;
  };
  for (const { plugin, tool } of tools) {
    const { title, description, effect, idempotent, openWorld = false, input, output } = tool;
    const hints = { effect, ...(idempotent && { idempotent }), openWorld };
    put(plugin, 'tools', tool.name, { title, description, ...hints, input, output });
  }
  for (const { plugin, resource } of resources) {
    const { name, title, description, mimeType } = resource;
    put(plugin, 'resources', resource.uri, { name, title, description, mimeType });
  }
  for (const { plugin, prompt } of prompts) {
    const { title, description } = prompt;
    const taken = prompt.arguments.map(({ name, description, required = false }) => ({
      name,
      description,
      required,
    }));
    const placeholders = Object.fromEntries(taken.map(({ name }) => [name, `{${name}}`]));
    put(plugin, 'prompts', prompt.name, {
      title,
      description,
      arguments: taken,
      ...textOf(prompt, placeholders),
    });
  }
  return { format: 1, instructions, plugins: Object.fromEntries(plugins) };
}

/** What a prompt says. Bytes are recorded by their digest. */
function textOf(prompt: Prompt, given: Readonly<Record<string, string>>): ReviewedText {
  if (prompt.messages === undefined) return { text: prompt.text!(given) };
  const digested = (_key: string, value: unknown) =>
    value instanceof Uint8Array ? createHash('sha256').update(value).digest('hex') : value;
  return { messages: JSON.parse(JSON.stringify(messagesOf(prompt, given), digested)) };
}

const empty = (): Record<Kind, Record<string, Record<string, unknown>>> => ({
  tools: {},
  resources: {},
  prompts: {},
});

/** One difference from the reviewed state. */
export interface Difference {
  /** `undefined` for the server's own instructions. */
  readonly plugin?: string;
  readonly kind: Kind | 'version' | 'instructions';
  /** Of the tool, resource or prompt. */
  readonly name?: string;
  /** `was` is undefined for something new, `is` for something removed. */
  readonly was?: unknown;
  readonly is?: unknown;
}

export function differences(was: Lock, is: Lock): Difference[] {
  const found: Difference[] = [];
  if (was.instructions !== is.instructions)
    found.push({ kind: 'instructions', was: was.instructions, is: is.instructions });
  for (const id of union(was.plugins, is.plugins)) {
    const [before, after] = [own(was.plugins, id), own(is.plugins, id)];
    if (before?.version !== after?.version)
      found.push({ plugin: id, kind: 'version', was: before?.version, is: after?.version });
    if (!same(before?.instructions ?? [], after?.instructions ?? []))
      found.push({ plugin: id, kind: 'instructions', was: before?.instructions, is: after?.instructions });
    for (const kind of KINDS)
      for (const name of union(before?.[kind] ?? {}, after?.[kind] ?? {})) {
        const [old, now] = [own(before?.[kind] ?? {}, name), own(after?.[kind] ?? {}, name)];
        if (!same(old, now)) found.push({ plugin: id, kind, name, was: old, is: now });
      }
  }
  return found;
}

/**
 * The part of the surface that was reviewed as it is now. Leaves out everything new or changed, and everything of a plugin
 * with another version, because its code may have changed.
 */
export function keepReviewed<S extends Surface>(surface: S, found: readonly Difference[]): S {
  const touched = new Set(found.map(({ plugin, kind, name }) => JSON.stringify([plugin, kind, name])));
  const keeps = (plugin: string, kind: Kind, name: string) =>
    !touched.has(JSON.stringify([plugin, 'version', undefined])) &&
    !touched.has(JSON.stringify([plugin, kind, name]));
  return {
    ...surface,
    tools: surface.tools.filter(({ plugin, tool }) => keeps(plugin, 'tools', tool.name)),
    resources: surface.resources.filter(({ plugin, resource }) => keeps(plugin, 'resources', resource.uri)),
    prompts: surface.prompts.filter(({ plugin, prompt }) => keeps(plugin, 'prompts', prompt.name)),
  };
}

/** The plugins with instructions only where a person has reviewed them as they are now. */
export function keepReviewedInstructions<P extends Pick<Plugin, 'id' | 'instructions'>>(
  plugins: readonly P[],
  found: readonly Difference[],
): P[] {
  const touched = found.filter(({ kind }) => kind === 'version' || kind === 'instructions');
  const isTouched = (id: string) => touched.some(({ plugin }) => plugin === id);
  return plugins.map((plugin) => (isTouched(plugin.id) ? { ...plugin, instructions: [] } : plugin));
}

/** Describes a difference without its texts; `qmcp pin --review` shows those, escaped. */
export function describeDifference({ plugin, kind, name, was, is }: Difference): string {
  if (kind === 'instructions')
    return `the instructions of ${plugin === undefined ? 'the server' : `plugin ${plugin}`} changed`;
  if (kind === 'version') {
    if (was === undefined) return `plugin ${plugin} ${is} is new`;
    if (is === undefined) return `plugin ${plugin} ${was} is not loaded any more`;
    return `plugin ${plugin} was ${was} and is ${is}`;
  }
  const what = `${kind.slice(0, -1)} ${name} of plugin ${plugin}`;
  if (was === undefined) return `${what} is new`;
  if (is === undefined) return `${what} was removed`;
  const [before, after] = [was as ReviewedText, is as ReviewedText];
  const parts = union(before, after).filter((part) => !same(before[part], after[part]));
  return `${what}: changed ${parts.join(', ')}`;
}

const union = (a: object, b: object): string[] => [...new Set([...Object.keys(a), ...Object.keys(b)])];

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

/** Equal as JSON; the order of keys does not matter. */
function same(a: unknown, b: unknown): boolean {
  return sorted(a) === sorted(b);
}

function sorted(value: unknown): string | undefined {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
