import { contentOf, REFUSALS, type Refused } from '../api/index.js';
import { blockOf } from './content.js';

export interface ToolResult {
  [key: string]: unknown;
  content: ReturnType<typeof blockOf>[];
  structuredContent: Record<string, unknown>;
  isError?: true;
}

export function resultOf(output: Record<string, unknown>): ToolResult {
  const content = contentOf(output)?.map(blockOf) ?? [{ type: 'text', text: JSON.stringify(output) }];
  return { content, structuredContent: output };
}

/**
 * A refusal has its code and its data; its text says what is wrong and where, or else the fixed sentence of the code. `served` are the names of
 * the tools that the client has.
 */
export function refusalOf({ code, data }: Refused, served: ReadonlySet<string>): ToolResult {
  const error = data === undefined ? { code } : { code, data };
  const sentence = problemsIn(data) ?? adviceFor(REFUSALS[code], served);
  return {
    content: [{ type: 'text', text: `${code}: ${sentence}${waitIn(data)}` }],
    structuredContent: { error },
    isError: true,
  };
}

/** How long a caller has to wait, if the refusal says so. */
function waitIn(data: Refused['data']): string {
  const seconds = data?.retry_after_seconds;
  return typeof seconds === 'number' ? ` Wait ${seconds} s first.` : '';
}

function problemsIn(data: Refused['data']): string | undefined {
  const problems = data?.problems;
  if (!Array.isArray(problems) || problems.length === 0) return undefined;
  return problems.map(({ at, problem }) => `${at} ${problem}.`).join(' ');
}

const TOOL = /\b[a-z]+(?:_[a-z]+)+\b/g;

/** The sentence without the parts that send the client to a tool that it does not have. */
function adviceFor(sentence: string, served: ReadonlySet<string>): string {
  const parts = sentence.split(/(?<=[;.]) /);
  const useful = parts.filter((part) => (part.match(TOOL) ?? []).every((name) => served.has(name)));
  return useful.join(' ').replace(/;$/, '.');
}
