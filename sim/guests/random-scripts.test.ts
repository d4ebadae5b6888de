/**
 * Random scripts in both engines. `npm test` runs a few, with a new seed each time; QMCP_SCRIPTS=200 runs more, and QMCP_SEED=…
 * repeats a run.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SEED } from '../../test/support/seed.js';
import { BwrapEngine } from './bwrap.js';
import type { Guest } from './guest.js';
import { MemoryEngine } from './memory.js';
import { randomScripts } from './random-scripts.js';

/** Where the engines may differ: in scripts with these words, and why. */
const KNOWN: readonly { readonly words: RegExp; readonly reason: string }[] = [
  {
    words: /\bcase .*\) \( .*;;/,
    reason: 'the shell in memory cannot parse a subshell at the beginning of a branch of `case`',
  },
];

const QUBE = { name: 'ai-one', template: null, class: 'AppVM' };
const COUNT = Number(process.env.QMCP_SCRIPTS ?? 12);
const why = BwrapEngine.unavailable();

test('the same seed gives the same scripts, and they have loops, jobs, redirections and signals', () => {
  const scripts = randomScripts(7, 200);
  expect(randomScripts(7, 200)).toEqual(scripts);
  expect(new Set(scripts).size).toBe(200);
  for (const part of [
    'while',
    'until',
    'for n',
    ' & ',
    '>>',
    'kill -s',
    'trap',
    '| {',
    '$(',
    'case',
    'return',
  ])
    expect(scripts.filter((script) => script.includes(part)).length, part).toBeGreaterThan(5);
});

describe.skipIf(why !== undefined)(`random scripts (seed ${SEED})${why ? ` (skipped: ${why})` : ''}`, () => {
  const dir = mkdtempSync(join(tmpdir(), 'qmcp-bwrap-'));
  let engines: readonly Guest[];
  beforeAll(async () => {
    engines = [await new MemoryEngine().start(QUBE), await new BwrapEngine(dir).start(QUBE)];
  });
  afterAll(async () => {
    for (const engine of engines) await engine.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  test('random scripts print the same and end the same in memory and in a sandbox', async () => {
    const different: object[] = [];
    for (const [at, script] of randomScripts(SEED, COUNT).entries()) {
      const [memory, sandbox] = await Promise.all(
        engines.map(async (guest) => {
          const cwd = `/tmp/script${at}`;
          await guest.run({ command: ['mkdir', cwd], user: 'user' });
          const { exit, signal, stdout } = await guest.run({ command: script, user: 'user', cwd });
          // A shell words its complaints in its own way.
          return { end: signal ?? exit, stdout: Buffer.from(stdout).toString('utf8') };
        }),
      );
      const isSame = JSON.stringify(memory) === JSON.stringify(sandbox);
      if (!isSame && !KNOWN.some(({ words }) => words.test(script)))
        different.push({ script, memory, sandbox });
    }
    expect(different).toEqual([]);
  });
});
