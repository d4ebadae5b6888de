/** The content besides text that a tool or a prompt can show. */
export type ContentBlock =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'image' | 'audio'; readonly bytes: Uint8Array; readonly mimeType: string }
  /** The address of a resource, for the client to read if it wants. */
  | {
      readonly type: 'link';
      readonly uri: string;
      readonly name: string;
      readonly description?: string;
      readonly mimeType?: string;
    }
  /** A resource itself. */
  | {
      readonly type: 'resource';
      readonly uri: string;
      readonly mimeType: string;
      readonly content: { readonly text: string } | { readonly bytes: Uint8Array };
    };

/** On the output of a tool. A symbol of the process, because a plugin may bring its own copy of this package. */
const CONTENT = Symbol.for('qmcp.content');

/**
 * The output of a tool, with what its client shows in place of the output as JSON. Clients that read structured results get the output as
 * ever.
 */
export function withContent<O extends object>(output: O, ...content: readonly ContentBlock[]): O {
  return Object.defineProperty({ ...output }, CONTENT, { value: Object.freeze([...content]) });
}

export function contentOf(output: object): readonly ContentBlock[] | undefined {
  return (output as { readonly [CONTENT]?: readonly ContentBlock[] })[CONTENT];
}

/** Whether a value from a plugin is a block that can be sent. */
export function isContentBlock(value: unknown): value is ContentBlock {
  const { type, ...rest } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const isText = (...keys: readonly string[]) => keys.every((key) => typeof rest[key] === 'string');
  switch (type) {
    case 'text':
      return isText('text');
    case 'image':
    case 'audio':
      return isText('mimeType') && rest.bytes instanceof Uint8Array;
    case 'link':
      return isText('uri', 'name');
    case 'resource': {
      const { text, bytes } = (rest.content ?? {}) as Readonly<Record<string, unknown>>;
      return isText('uri', 'mimeType') && (typeof text === 'string' || bytes instanceof Uint8Array);
    }
    default:
      return false;
  }
}
