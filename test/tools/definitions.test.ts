import { readdirSync } from 'node:fs';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, test } from 'vitest';
import type { Tool } from '../../core/api/index.js';
import { BUILT_IN } from '../../plugins/index.js';
import { v2 } from '../e2e/clients.js';

/** One file for each tool, so that the diff of one tool is one file. */
const SNAPSHOTS = new URL('__snapshots__/', import.meta.url);
const written = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;

/**
 * Tokens that the list of all tools may cost. Most of the full form are schemas of results, which clients use themselves: they
 * give a model what is left without those.
 */
const BUDGET = { full: 13_300, lean: 5_000, model: 7_100 };

describe.each(BUILT_IN.map(({ id, tools }) => [id, tools] as const))('the tools of %s', (plugin, tools) => {
  test.each(tools.map((tool: Tool) => [tool.name, tool] as const))(
    'the definition of %s matches its snapshot',
    async (name, tool) => {
      const {
        title,
        description,
        effect,
        idempotent = false,
        openWorld = false,
        input,
        output,
        uses,
        upholds,
      } = tool;
      const whole = {
        ...{ plugin, name, title, description, effect, idempotent, openWorld },
        uses: Object.values(uses).map((service) => service.name),
        upholds: upholds.map(({ id, with: parameters }) => ({ id, with: parameters })),
        input,
        output,
      };
      await expect(written(whole)).toMatchFileSnapshot(new URL(`${name}.json`, SNAPSHOTS).pathname);
    },
  );
});

test('every snapshot of a definition has its tool', () => {
  const tools = BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => `${name}.json`));
  const files = readdirSync(SNAPSHOTS).filter((name) => name.endsWith('.json'));
  expect(files.sort()).toEqual([...tools, 'tools-list.json', 'tools-list-lean.json'].sort());
});

const tokens = (tools: unknown) => countTokens(JSON.stringify({ tools }));

test.each(['full', 'lean'] as const)(
  'the %s list of tools matches its snapshot, and costs at most the documented tokens',
  async (form) => {
    const client = await v2(['--host', 'sim'], 'auto', { QMCP_TOOLS_SCHEMAS: form });
    try {
      const tools = await client.tools();
      const name = form === 'full' ? 'tools-list.json' : 'tools-list-lean.json';
      await expect(written(tools)).toMatchFileSnapshot(new URL(name, SNAPSHOTS).pathname);
      const model = tools.map((tool) => ({ ...tool, outputSchema: undefined }));
      const cost = { [form]: tokens(tools), model: tokens(model) };
      console.log(`tools/list, ${form}: ${tools.length} tools, ${cost[form]} tokens of ${BUDGET[form]}`);
      console.log(
        `tools/list, ${form}, without the schemas of results: ${cost.model} tokens of ${BUDGET.model}`,
      );
      expect(cost[form]).toBeLessThanOrEqual(BUDGET[form]);
      expect(cost.model).toBeLessThanOrEqual(BUDGET.model);
    } finally {
      await client.close();
    }
  },
);
