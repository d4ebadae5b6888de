import type { Plugin, Prompt } from '../api/index.js';
import { completionsFor } from './completions.js';
import type { PluginContainer } from './container.js';
import { refuseOnError } from './guarded.js';
import type { ReadContext, ServedPrompt } from './served.js';

export function servePrompt(
  plugin: Plugin,
  prompt: Prompt,
  container: PluginContainer,
  log: (line: string) => void,
): ServedPrompt {
  const ports = container.ports(prompt.uses);
  return Object.freeze({
    plugin: plugin.id,
    prompt,
    complete: (argument: string, typed: string, context: ReadContext) =>
      refuseOnError(prompt.name, log, async () => {
        const complete = prompt.arguments.find(({ name }) => name === argument)?.complete;
        return completionsFor(typed, complete ? await complete(ports, typed, context) : []);
      }),
  });
}
