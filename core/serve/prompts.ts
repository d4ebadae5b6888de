import type { Plugin, Prompt } from '../api/index.js';
import { startingWith } from './completions.js';
import type { PluginContainer } from './container.js';
import { guarded } from './guarded.js';
import type { Looking, ServedPrompt } from './served.js';

export function servedPrompt(
  plugin: Plugin,
  prompt: Prompt,
  container: PluginContainer,
  log: (line: string) => void,
): ServedPrompt {
  const ports = container.ports(prompt.uses);
  return Object.freeze({
    plugin: plugin.id,
    prompt,
    complete: (argument: string, typed: string, context: Looking) =>
      guarded(prompt.name, log, async () => {
        const complete = prompt.arguments.find(({ name }) => name === argument)?.complete;
        return startingWith(typed, complete ? await complete(ports, typed, context) : []);
      }),
  });
}
