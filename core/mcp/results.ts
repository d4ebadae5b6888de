import { REFUSALS, type Refused } from '../api/index.js';

export interface ToolResult {
  [key: string]: unknown;
  content: { type: 'text'; text: string }[];
  structuredContent: Record<string, unknown>;
  isError?: true;
}

export function resultOf(output: Record<string, unknown>): ToolResult {
  return { content: [{ type: 'text', text: JSON.stringify(output) }], structuredContent: output };
}

/** A refusal has its code and its data; its text says what is wrong and where, or else the fixed sentence of the code. */
export function refusalOf({ code, data }: Refused): ToolResult {
  const error = data === undefined ? { code } : { code, data };
  return {
    content: [{ type: 'text', text: `${code}: ${problemsIn(data) ?? REFUSALS[code]}` }],
    structuredContent: { error },
    isError: true,
  };
}

function problemsIn(data: Refused['data']): string | undefined {
  const problems = data?.problems;
  if (!Array.isArray(problems) || problems.length === 0) return undefined;
  return problems.map(({ at, problem }) => `${at} ${problem}.`).join(' ');
}
