/** `npm run bench`: what things cost, each as a ratio to what they could cost at least. Never a test: machines differ. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadWorld, type SimHost, startHost, type World } from '../sim/index.js';
import { kernel, listOfMany, withMany } from './kernel.js';
import { type Row, SEED, show } from './measure.js';
import { simulated } from './simulated.js';
import { startup } from './startup.js';

/** What is measured is what a call costs, not how many the shipped qmcp.toml allows. */
function room(root: string): void {
  const path = join(root, 'etc/qmcp/qmcp.toml');
  const text = readFileSync(path, 'utf8');
  const wider = { calls_per_minute: 100_000, concurrent_calls: 64 };
  const replaced = Object.entries(wider).reduce(
    (toml, [key, value]) => toml.replace(new RegExp(`^${key} = .*$`, 'm'), `${key} = ${value}`),
    text,
  );
  writeFileSync(path, replaced);
}

async function on(world: World, measure: (sim: SimHost) => Promise<Row[]>): Promise<Row[]> {
  const dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
  const sim = await startHost({ world, dir, prepare: room });
  try {
    return await measure(sim);
  } finally {
    await sim.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

const demo = loadWorld('demo');
process.stdout.write(
  `against the simulated qubesd, in this process; a real one takes other times for its part (seed ${SEED})\n\n`,
);
show([
  ...(await on(demo, kernel)),
  ...(await on(withMany(demo), listOfMany)),
  ...(await on(demo, startup)),
  ...(await simulated()),
]);
