import { REFUSALS, type Refused, type TSchema, Type } from '../api/index.js';

/** What `structuredContent` is when a call was refused. */
const ErrorShape = Type.Object(
  {
    code: Type.Enum(Object.keys(REFUSALS)),
    data: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { additionalProperties: false, description: 'set when the call was refused' },
);

/**
 * A tool's output schema as clients see it: its own, or an error. Some clients hold an error's structured content
 * against the output schema too (version 1 of the TypeScript SDK does), so the schema has to admit both. Properties stay
 * at the root, where clients that render results look for them.
 */
export function advertisedOutput(output: TSchema): Record<string, unknown> & { type: 'object' } {
  const {
    type: _,
    properties = {},
    required = [],
    ...rest
  } = output as {
    type?: unknown;
    properties?: Record<string, unknown>;
    required?: string[];
  };
  return {
    ...rest,
    type: 'object',
    properties: { ...properties, error: ErrorShape },
    anyOf: [{ required }, { required: ['error'] }],
  };
}

export interface ToolResult {
  [key: string]: unknown;
  content: { type: 'text'; text: string }[];
  structuredContent: Record<string, unknown>;
  isError?: true;
}

export function resultOf(output: Record<string, unknown>): ToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(output) }], structuredContent: output };
}

/** A refusal says its code, its fixed sentence and its data. It never says what was asked for. */
export function refusalOf({ code, data }: Refused): ToolResult {
  const error = data === undefined ? { code } : { code, data };
  return {
    content: [{ type: 'text', text: `${code}: ${REFUSALS[code]}${faults(data)}` }],
    structuredContent: { error },
    isError: true,
  };
}

function faults(data: Refused['data']): string {
  const problems = data?.problems;
  if (!Array.isArray(problems)) return '';
  return problems.map(({ at, problem }) => ` ${at} ${problem}.`).join('');
}
