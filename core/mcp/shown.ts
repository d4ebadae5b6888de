import type { Tool } from '../api/index.js';
import { annotationsOf } from './annotations.js';
import { advertisedOutput } from './results.js';

/** A tool as a client's model is told of it. */
export function shownTool(tool: Tool) {
  return {
    name: tool.name,
    title: tool.title,
    description: tool.description,
    inputSchema: tool.input as { type: 'object' },
    outputSchema: advertisedOutput(tool.output),
    annotations: annotationsOf(tool),
  };
}
