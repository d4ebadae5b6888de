/** `npm run bench`: measures costs, each as a ratio to a baseline. It is never a test, because machines differ. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type HostSpec, loadHostSpec, type SimHost, startHost } from '../sim/index.js';
import { kernel, listOfMany, withMany } from './kernel.js';
import { type Row, SEED, show } from './measure.js';
import { addWorld, shares } from './shares.js';
import { simulated } from './simulated.js';
import { startup } from './startup.js';
import { typed } from './typed.js';

/** Raises the limits of the shipped qmcp.toml, so that the bench measures the cost of a call and not the rate limit. */
function raiseLimits(root: string): void {
  const path = join(root, 'etc/qmcp/qmcp.toml');
  const text = readFileSync(path, 'utf8');
  const wider = { calls_per_minute: 100_000, concurrent_calls: 64 };
  const replaced = Object.entries(wider).reduce(
    (toml, [key, value]) => toml.replace(new RegExp(`^${key} = .*$`, 'm'), `${key} = ${value}`),
    text,
  );
  writeFileSync(path, replaced);
}

async function measureOn(
  spec: HostSpec,
  measure: (sim: SimHost) => Promise<Row[]>,
  prepare = raiseLimits,
): Promise<Row[]> {
  const dir = mkdtempSync(join(tmpdir(), 'qmcp-'));
  const sim = await startHost({ spec, dir, prepare });
  try {
    return await measure(sim);
  } finally {
    await sim.close();
    rmSync(dir, { recursive: true, force: true });
  }
}

const demo = loadHostSpec('demo');
process.stdout.write(
  `measured against the simulated qubesd in this process; a real qubesd takes different times (seed ${SEED})\n\n`,
);
show([
  ...(await measureOn(demo, kernel)),
  ...(await measureOn(withMany(demo), listOfMany)),
  ...(await measureOn(demo, startup)),
  ...(await measureOn(demo, typed)),
  ...(await measureOn(demo, shares, addWorld)),
  ...(await simulated()),
]);
