#!/usr/bin/env node
// In a source checkout, install and compile first; in an installed package the compiled files are there.
import { existsSync } from 'node:fs';

if (existsSync(new URL('../scripts/ready.mjs', import.meta.url))) {
  const { ready } = await import('../scripts/ready.mjs');
  await ready().catch((error) => {
    process.stderr.write(`qmcp: ${error.message}\n`);
    process.exit(1);
  });
}
await import('../dist/cli/main.js');
