/** `npm run bench`: what things cost, each as a ratio to what they could cost at least. Never a test: machines differ. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHost } from '../sim/index.js';
import { kernel } from './kernel.js';
import { show } from './measure.js';
import { startup } from './startup.js';

const dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
const sim = await startHost({ world: 'demo', dir });
try {
  show([...(await kernel(sim)), ...(await startup(sim))]);
} finally {
  await sim.close();
  rmSync(dir, { recursive: true, force: true });
}
