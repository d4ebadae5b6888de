import { defineConfig } from 'vitest/config';
import { python } from './sim/python.js';

// Found here, and inherited by every worker and by what the tests start.
python();

/** The folders with tests; `npm run watch` names fewer. */
const FOLDERS = process.env.QMCP_TEST_FOLDERS ?? 'core,plugins,model,sim,cli,test,examples';
const TESTS = `{${FOLDERS}}/**/*.test.ts`;
/** The longest files: each has a process of its own. A file that replaces a module must be one of them. */
const ALONE = ['test/properties/invariants.test.ts', 'test/tools/table.test.ts'];
// examples/vault is a package of its own. Its tests run where the packed qmcp is installed: test/sdk/first-ten-minutes.test.ts.
const EXCLUDED = ['**/node_modules/**', 'examples/vault/**'];

export default defineConfig({
  test: {
    globalSetup: 'test/support/once.ts',
    setupFiles: 'test/support/each.ts',
    // Reached only by what hangs, on a machine however busy: longer than the tests wait for any one thing.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // What the build made is loaded as Node loads it.
    server: { deps: { external: [/\/dist\//] } },
    maxWorkers: 2,
    // Loading the code takes longer than most tests do: a worker loads it once, for all files it runs.
    projects: [
      {
        extends: true,
        test: { name: 'together', include: [TESTS], exclude: [...EXCLUDED, ...ALONE], isolate: false },
      },
      // A group of its own, because a worker ends when the next file in the queue wants another one.
      {
        extends: true,
        test: { name: 'alone', include: ALONE, exclude: EXCLUDED, sequence: { groupOrder: 1 } },
      },
    ],
  },
});
