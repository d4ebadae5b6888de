import { readdirSync } from 'node:fs';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { describe, expect, test } from 'vitest';
import type { Tool } from '../../core/api/index.js';
import { BUILT_IN } from '../../plugins/index.js';
import { v2 } from '../e2e/clients.js';

/** One file for each tool, so that the diff of one tool is one file. */
const SNAPSHOTS = new URL('__snapshots__/', import.meta.url);
const written = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`;

/** The tokens that the list of all tools may cost a model. */
const BUDGET = 4_500;

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
  expect(files.sort()).toEqual([...tools, 'tools-list.json'].sort());
});

test('the default list of tools matches its snapshot, and costs a model at most the documented size', async () => {
  const client = await v2(['--host', 'sim'], 'auto');
  try {
    const tools = await client.tools();
    await expect(written(tools)).toMatchFileSnapshot(new URL('tools-list.json', SNAPSHOTS).pathname);
    const cost = countTokens(JSON.stringify({ tools }));
    console.log(`tools/list: ${tools.length} tools, ${cost} tokens of ${BUDGET}`);
    expect(cost).toBeLessThanOrEqual(BUDGET);
  } finally {
    await client.close();
  }
});
