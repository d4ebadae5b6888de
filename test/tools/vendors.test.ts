import { describe, expect, test } from 'vitest';
import type { Tool } from '../../core/api/index.js';
import { describeTools } from '../../core/mcp/tool-descriptions.js';
import { BUILT_IN } from '../../plugins/index.js';
import { RULES } from './vendors.js';

const TOOLS = BUILT_IN.flatMap(({ tools }) => tools as readonly Tool[]);

describe.each(RULES)('$vendor: $says', ({ accepts, refused }) => {
  test.each(['full', 'lean'] as const)('the rule holds for every built-in tool in the %s form', (form) => {
    const broken = describeTools(TOOLS, { form }).filter((tool) => !accepts(tool));
    expect(broken.map(({ name }) => name)).toEqual([]);
  });

  test('the rule refuses a tool that breaks it', () => {
    expect(accepts(refused)).toBe(false);
  });
});
