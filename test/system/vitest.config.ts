/** The tests that need a machine with systemd: `npm run test:system` builds its root, and runs them. */
import { defineConfig } from 'vitest/config';
import shared from '../../vitest.config.js';

export default defineConfig({
  test: {
    include: ['test/system/*.system.ts'],
    testTimeout: shared.test!.testTimeout!,
    hookTimeout: shared.test!.hookTimeout!,
    server: shared.test!.server!,
    reporters: ['verbose'],
    maxWorkers: 1,
  },
});
