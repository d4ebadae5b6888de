/** `npm run bench`: what things cost, each as a ratio to what they could cost at least. Never a test: machines differ. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHost } from '../sim/index.js';
import { kernel } from './kernel.js';
import { show } from './measure.js';
import { startup } from './startup.js';

const dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
/** What is measured is what a call costs, not how many the shipped qmcp.toml allows. */
function room(root: string): void {
  const path = join(root, 'etc/qmcp/qmcp.toml');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace(/^calls_per_minute = .*$/m, 'calls_per_minute = 100000'));
}

const sim = await startHost({ world: 'demo', dir, prepare: room });
try {
  show([...(await kernel(sim)), ...(await startup(sim))]);
} finally {
  await sim.close();
  rmSync(dir, { recursive: true, force: true });
}
