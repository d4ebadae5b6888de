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

/** A refusal has its code, its fixed sentence and its data. It never repeats the request. */
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
