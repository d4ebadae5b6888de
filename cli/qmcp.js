#!/usr/bin/env node
// A source checkout installs and compiles first; an installed package has the compiled files.
import { existsSync } from 'node:fs';

if (existsSync(new URL('../scripts/ready.mjs', import.meta.url))) {
  const { ready } = await import('../scripts/ready.mjs');
  await ready().catch((error) => {
    process.stderr.write(`qmcp: ${error.message}\n`);
    process.exit(1);
  });
}
await import('../dist/cli/main.js');
