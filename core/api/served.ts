import type { Tool, ToolContext } from './tool.js';

/** A tool that passed every check and may be shown to a client. */
export interface ServedTool {
  readonly plugin: string;
  readonly tool: Tool;
  /** Takes an agent's arguments as they came. Rejects with `Refused` and with nothing else. */
  call(untrusted_input: unknown, context: ToolContext): Promise<Record<string, unknown>>;
}
