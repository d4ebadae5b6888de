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

/** docs/reference/tools.md: the built-in tools, in the order in which an agent gets them. */
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
These are the built-in tools. A tool with the effect \`read\` changes nothing, \`write\` makes changes that can be undone, \`destroy\` ends,
removes or replaces something for good, or runs commands. Every call is checked against the input below before it is sent, and against its contract in dom0, whatever the
control qube says. A slow tool takes \`background: true\`, too: it returns a handle at once, and the server's own tools \`call_result\` and \`call_stop\`
follow the call. A refusal has one of the [closed codes](errors.md). \`qmcp explain TOOL\` shows the lines in dom0 and the tests.

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

${tool.description}${isSlow(tool) ? ' Slow.' : ''}

${inputs.length === 0 ? 'It has no input.' : tableOf(['input', '', 'value'], inputs)}

Returns ${
    Object.keys((tool.output as Schema).properties ?? {})
      .map(code)
      .join(', ') || 'an empty object'
  }.
Calls ${used.map(({ name }) => `[${code(name)}](../../dom0/contracts/${name}.json)`).join(', ')}; bounded by ${held.map((id) => `[${code(id)}](invariants.md#${anchor(id)})`).join(', ') || 'the axioms'}.
`;
}

/** Whether it takes `background` from the server; exec_run has an argument of that name itself. */
const isSlow = ({ slow = false, input }: Tool) =>
  slow && !('background' in ((input as Schema).properties ?? {}));

/** The anchor that GitHub gives a heading. */
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
