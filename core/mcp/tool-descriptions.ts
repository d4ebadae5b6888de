import type { Tool } from '../api/index.js';
import type { BackgroundTool } from '../serve/served.js';
import { annotationsOf } from './annotations.js';
import { fullInput, fullOutput } from './full-schemas.js';
import { leanInput, leanOutput } from './lean-schemas.js';
import type { ObjectSchema, Schema } from './schemas.js';

/** How much a client is told of the schemas of tools. */
export type SchemaForm = 'full' | 'lean';

/** A tool as `tools/list` has it. */
export interface ToolDescription {
  [key: string]: unknown;
  readonly name: string;
  readonly title?: string;
  readonly description: string;
  readonly inputSchema: ObjectSchema;
  readonly outputSchema: ObjectSchema;
  readonly annotations: ReturnType<typeof annotationsOf>;
}

/** The tools in their order. Every call is checked against the complete schemas, and by dom0 against its contract. */
export function describeTools(
  tools: readonly Tool[],
  { form, withTasks = false }: { readonly form: SchemaForm; readonly withTasks?: boolean },
): ToolDescription[] {
  const described = form === 'full' ? tools.map(describeInFull) : describeLeanly(tools);
  // Only 2025-11-25 has this; a client of another version drops it.
  const execution = { taskSupport: 'optional' };
  return withTasks ? described.map((one, at) => (tools[at]!.slow ? { ...one, execution } : one)) : described;
}

const describeInFull = (tool: Tool): ToolDescription => ({
  name: tool.name,
  title: tool.title,
  description: tool.description,
  inputSchema: fullInput(tool.input as unknown as Schema) as ObjectSchema,
  outputSchema: fullOutput(tool.output as unknown as Schema),
  annotations: annotationsOf(tool),
});

/** A repeated output schema becomes a reference to the first tool that has it. */
function describeLeanly(tools: readonly Tool[]): ToolDescription[] {
  const first = new Map<string, string>();
  return tools.map((tool) => {
    const result = 'result' in tool ? (tool as BackgroundTool).result : tool.output;
    const output = leanOutput(result as unknown as Schema);
    const key = JSON.stringify(output);
    const before = first.get(key);
    if (before === undefined) first.set(key, tool.name);
    const reference = { type: 'object' as const, description: `as of ${before}` };
    const shorter = before !== undefined && JSON.stringify(reference).length < key.length;
    return {
      name: tool.name,
      description: tool.description,
      inputSchema: leanInput(tool.input as unknown as Schema) as ObjectSchema,
      outputSchema: shorter ? reference : output,
      annotations: annotationsOf(tool),
    };
  });
}
