import { defineConfig } from 'vitest/config';

// A simulated host is a dom0 in Python, and every call a process: give slow machines time.
export default defineConfig({ test: { testTimeout: 60_000, hookTimeout: 60_000 } });
