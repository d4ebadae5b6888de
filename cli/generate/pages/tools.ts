import type { Plugin, Service, Tool } from '../../../core/api/index.js';
import { describeExpected } from '../../../core/config/validate.js';
import { BUILT_IN } from '../../../plugins/index.js';
import { code, codes, HEADING, tableOf } from './markdown.js';

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly description?: string;
  readonly type?: string;
  readonly [key: string]: unknown;
}

/** docs/reference/tools.md: what ships, in the order an agent is shown it. */
export function toolsPage(): string {
  const rows = BUILT_IN.flatMap((plugin) =>
    plugin.tools.map((tool: Tool) => [
      `[${code(tool.name)}](#${tool.name})`,
      plugin.id,
      tool.effect,
      tool.title,
    ]),
  );
  return `${HEADING('Tools', 'plugins/')}
What an agent can be given. \`read\` looks, \`write\` changes what can be put back, \`destroy\` ends something. Every call is held against
the input below before anything is asked, and against its contract in dom0 whatever the control qube says.
A refusal is one of the [closed codes](errors.md). \`qmcp explain TOOL\` goes down to the lines in dom0 and the tests.

${tableOf(['tool', 'plugin', 'effect', 'what it does'], rows)}

${BUILT_IN.map(section).join('\n')}`;
}

function section(plugin: Plugin): string {
  return `## ${plugin.id}: ${plugin.title}\n\n${plugin.tools.map((tool: Tool) => about(tool)).join('\n')}`;
}

function about(tool: Tool): string {
  const used: Service[] = Object.values(tool.uses);
  const held = [...new Set(used.flatMap(({ invariants }) => invariants.map(({ id }) => id)))];
  const inputs = fields(tool.input as Schema);
  return `### ${tool.name}

${tool.description}

${inputs.length === 0 ? 'It takes nothing.' : tableOf(['input', '', 'value'], inputs)}

Returns ${
    Object.keys((tool.output as Schema).properties ?? {})
      .map(code)
      .join(', ') || 'an empty object'
  }.
Asks for ${used.map(({ name }) => `[${code(name)}](../../dom0/contracts/${name}.json)`).join(', ')}; bounded by ${held.map((id) => `[${code(id)}](invariants.md#${anchor(id)})`).join(', ') || 'the axioms'}.
`;
}

/** As GitHub makes one of a heading. */
export const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

function fields({ properties = {}, required = [] }: Schema): string[][] {
  return Object.entries(properties).map(([name, schema]) => [
    code(name),
    required.includes(name) ? '' : 'optional',
    [words(schema), schema.description].filter(Boolean).join(': '),
  ]);
}

function words(schema: Schema): string {
  if (schema.anyOf) return schema.anyOf.map(words).join(', or ');
  if (schema.type === 'null') return code('null');
  if (schema.type === 'array' && schema.items) return `a list of: ${words(schema.items)}`;
  if (schema.type === 'object' && schema.properties)
    return `an object with ${codes(Object.keys(schema.properties))}`;
  if (schema.const !== undefined) return code(JSON.stringify(schema.const));
  if (typeof schema.pattern === 'string') return `text that matches ${code(schema.pattern)}`;
  return describeExpected(schema, 'expected any value')
    .replace(/^expected /, '')
    .replace('text in quotes', 'text');
}
