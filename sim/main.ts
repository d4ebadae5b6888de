/**
 * Keeps a simulated host running: `node dist/sim/main.js --world NAME|FILE --dir D [--source QUBE] [--guests memory|bwrap]`.
 * Ends on SIGTERM and SIGINT, and when its parent ends. If it was started with an IPC channel, it reports there when it is
 * ready.
 */
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { startHost } from './index.js';

const { values } = parseArgs({
  options: {
    world: { type: 'string', default: 'demo' },
    dir: { type: 'string' },
    source: { type: 'string', default: 'mcp-control' },
    guests: { type: 'string', default: 'memory' },
    api: { type: 'string' },
    seed: { type: 'string' },
  },
});

const APIS = ['4.2', '4.3', '4.4'] as const;

async function main(): Promise<void> {
  if (values.dir === undefined) throw new Error('--dir is required');
  const { guests } = values;
  if (guests !== 'memory' && guests !== 'bwrap') throw new Error('--guests: expected memory or bwrap');
  const api = APIS.find((one) => one === values.api);
  if (values.api !== undefined && api === undefined)
    throw new Error(`--api: expected one of ${APIS.join(', ')}`);
  if (values.seed !== undefined && !/^\d{1,9}$/.test(values.seed))
    throw new Error('--seed: expected a number');
  const seed = values.seed === undefined ? undefined : Number(values.seed);
  const dir = resolve(values.dir);
  mkdirSync(dir, { recursive: true });
  const ended = new Promise<void>((resolve) => {
    for (const event of ['SIGTERM', 'SIGINT', 'disconnect'] as const) process.once(event, () => resolve());
  });
  const echo = (text: string) => {
    if (text !== 'qmcpd: ready\n') process.stderr.write(text);
  };
  const sim = await startHost({ spec: values.world, dir, guests, api, seed, echo });
  const client = await sim.client(values.source);
  if (process.send) process.send({ ready: true, dir, client });
  else process.stdout.write(`ready: ${client}\n`);
  await ended;
  await sim.close();
}

main().catch((error: Error) => {
  process.stderr.write(`sim: ${error.message}\n`);
  process.exitCode = 1;
  if (process.connected) process.disconnect();
});
