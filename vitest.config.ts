import { defineConfig } from 'vitest/config';
import { python } from './sim/python.js';

// Found here, and inherited by every worker and by what the tests start.
python();

export default defineConfig({
  test: {
    include: ['{core,plugins,model,sim,cli,test,examples}/**/*.test.ts'],
    // A package of its own, whose tests run where the packed qmcp is installed: test/sdk/first-ten-minutes.test.ts.
    exclude: ['**/node_modules/**', 'examples/vault/**'],
    // Reached only by what hangs, on a machine however busy: longer than the tests wait for any one thing.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // What the build made is loaded as Node loads it.
    server: { deps: { external: [/\/dist\//] } },
    maxWorkers: 2,
  },
});
