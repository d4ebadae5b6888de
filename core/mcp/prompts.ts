import { messagesOf } from '../api/index.js';
import type { Surface } from '../serve/served.js';
import { ProtocolError, ProtocolErrorCode, type Server } from '../vendor/mcp.js';
import { blockOf } from './content.js';
import { protocolError } from './resources.js';

const invalidParams = (what: string) => new ProtocolError(ProtocolErrorCode.InvalidParams, what);

/** Answers requests about prompts, and completes the arguments of prompts and the variables of addresses. */
export function answerPrompts(
  server: Server,
  { prompts, resources }: Pick<Surface, 'prompts' | 'resources'>,
): void {
  const byName = new Map(prompts.map((entry) => [entry.prompt.name, entry]));

  server.setRequestHandler('prompts/list', () => ({
    prompts: prompts.map(({ prompt: { name, title, description, arguments: all } }) => ({
      name,
      title,
      description,
      arguments: all.map((one) => ({
        name: one.name,
        description: one.description,
        ...(one.required && { required: true }),
      })),
    })),
  }));

  server.setRequestHandler('prompts/get', ({ params: { name, arguments: given = {} } }) => {
    const prompt = byName.get(name)?.prompt;
    if (prompt === undefined) throw invalidParams('Unknown prompt');
    const missing = prompt.arguments.filter((one) => one.required && !given[one.name]);
    if (missing.length > 0) throw invalidParams(`Missing: ${missing.map((one) => one.name).join(', ')}`);
    const values = Object.fromEntries(
      prompt.arguments.map((one) => [one.name, given[one.name] || undefined]),
    );
    return {
      description: prompt.description,
      messages: messagesOf(prompt, values).map(({ role, content }) => ({ role, content: blockOf(content) })),
    };
  });

  server.setRequestHandler('completion/complete', async ({ params: { ref, argument } }, { mcpReq }) => {
    const asked =
      ref.type === 'ref/prompt'
        ? byName.get(ref.name)
        : resources.find(({ resource }) => resource.uri === ref.uri);
    if (asked === undefined) throw invalidParams('Unknown reference');
    const values = await asked
      .complete(argument.name, argument.value, { signal: mcpReq.signal })
      .catch((error) => protocolError(error));
    return { completion: { values: [...values], hasMore: false } };
  });
}
