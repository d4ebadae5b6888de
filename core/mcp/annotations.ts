import type { Effect } from '../api/index.js';

const HINTS: Readonly<
  Record<Effect, { readOnlyHint: boolean; destructiveHint: boolean; idempotentHint: boolean }>
> = {
  read: { readOnlyHint: true, destructiveHint: false, idempotentHint: true },
  write: { readOnlyHint: false, destructiveHint: false, idempotentHint: false },
  destroy: { readOnlyHint: false, destructiveHint: true, idempotentHint: false },
};

/** What a client may tell a person about a tool. The one place where an effect becomes hints. */
export function annotationsOf(tool: { title: string; effect: Effect; openWorld?: boolean }) {
  return { title: tool.title, ...HINTS[tool.effect], openWorldHint: tool.openWorld ?? false };
}
