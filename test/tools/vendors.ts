/**
 * Rules by which vendors of models refuse a whole request because of one tool in it. Each row has the smallest tool that its
 * vendor refuses, so that a rule which accepts everything fails a test.
 */

export interface Shown {
  readonly name: string;
  readonly description?: string | undefined;
  readonly inputSchema: Node;
}

/** A schema as it is sent. */
export interface Node {
  readonly [keyword: string]: unknown;
}

interface Rule {
  readonly vendor: string;
  readonly says: string;
  readonly accepts: (tool: Shown) => boolean;
  readonly refused: Shown;
}

const tool = (inputSchema: Node, name = 'a'): Shown => ({ name, description: 'A.', inputSchema });
const having = (property: Node) => tool({ type: 'object', properties: { a: property } });
const nodes = ({ inputSchema }: Shown) => nodesOf(inputSchema);
const lacks =
  (...keywords: string[]) =>
  (node: Node) =>
    !keywords.some((keyword) => keyword in node);
const COMBINED = ['anyOf', 'oneOf', 'allOf', 'not', 'enum'];

export const RULES: readonly Rule[] = [
  {
    vendor: 'OpenAI',
    says: 'a name has letters, digits, _ and -, 64 at most',
    accepts: ({ name }) => /^[a-zA-Z0-9_-]{1,64}$/.test(name),
    refused: tool({ type: 'object', properties: {} }, 'a.b'),
  },
  {
    vendor: 'OpenAI',
    says: 'an object has properties, even if there are none',
    accepts: ({ inputSchema }) => inputSchema.type === 'object' && 'properties' in inputSchema,
    refused: tool({ type: 'object' }),
  },
  {
    vendor: 'OpenAI',
    says: 'the root has no alternatives',
    accepts: ({ inputSchema }) => lacks(...COMBINED)(inputSchema),
    refused: tool({ type: 'object', properties: {}, oneOf: [] }),
  },
  {
    vendor: 'OpenAI',
    says: 'a list says what is in it',
    accepts: (shown) => nodes(shown).every((node) => node.type !== 'array' || 'items' in node),
    refused: having({ type: 'array' }),
  },
  {
    vendor: 'OpenAI',
    says: 'a description of a tool has at most 1024 characters',
    accepts: ({ description = '' }) => description.length <= 1024,
    refused: { ...tool({ type: 'object', properties: {} }), description: 'a'.repeat(1025) },
  },
  {
    vendor: 'OpenAI',
    says: 'a pattern looks neither ahead nor back',
    accepts: (shown) => nodes(shown).every(({ pattern = '' }) => !/\(\?[=!<]/.test(pattern as string)),
    refused: having({ type: 'string', pattern: '^(?!a)' }),
  },
  {
    vendor: 'Anthropic',
    says: 'an argument has a name of letters, digits, _, . and -, 64 at most',
    accepts: (shown) =>
      nodes(shown)
        .flatMap(({ properties = {} }) => Object.keys(properties as object))
        .every((name) => /^[a-zA-Z0-9_.-]{1,64}$/.test(name)),
    refused: tool({ type: 'object', properties: { 'a b': {} } }),
  },
  {
    vendor: 'Google',
    says: 'a type is one word',
    accepts: (shown) => nodes(shown).every(({ type }) => !Array.isArray(type)),
    refused: having({ type: ['string', 'null'] }),
  },
  {
    vendor: 'Google',
    says: 'an enumeration has the type string, and its values are strings that are not empty',
    accepts: (shown) =>
      nodes(shown).every(
        ({ type, enum: values }) =>
          values === undefined ||
          (type === 'string' &&
            (values as unknown[]).every((value) => typeof value === 'string' && value !== '')),
      ),
    refused: having({ enum: ['a'] }),
  },
  {
    vendor: 'Google',
    says: 'a schema has a type or alternatives',
    accepts: (shown) => nodes(shown).every((node) => 'type' in node || 'anyOf' in node),
    refused: having({ description: 'a' }),
  },
  {
    vendor: 'Google',
    says: 'these keywords are unknown',
    accepts: (shown) =>
      nodes(shown).every(
        lacks('$ref', '$defs', 'const', 'oneOf', 'allOf', 'not', 'patternProperties', 'prefixItems'),
      ),
    refused: having({ type: 'string', const: 'a' }),
  },
  {
    vendor: 'Google',
    says: 'a required argument is declared',
    accepts: (shown) =>
      nodes(shown).every(({ required = [], properties = {} }) =>
        (required as string[]).every((name) => name in (properties as object)),
      ),
    refused: tool({ type: 'object', properties: {}, required: ['a'] }),
  },
  {
    vendor: 'Amazon',
    says: 'a name begins with a letter, and a description is not empty',
    accepts: ({ name, description = '' }) => /^[a-zA-Z][a-zA-Z0-9_]{0,63}$/.test(name) && description !== '',
    refused: tool({ type: 'object', properties: {} }, '1'),
  },
];

/** The schema and every schema in it. */
function nodesOf(node: Node): Node[] {
  const { properties = {}, items, anyOf = [], additionalProperties } = node;
  const inside = [
    ...Object.values(properties as Record<string, Node>),
    ...(anyOf as Node[]),
    ...[items, additionalProperties].filter(
      (part): part is Node => typeof part === 'object' && part !== null,
    ),
  ];
  return [node, ...inside.flatMap(nodesOf)];
}
