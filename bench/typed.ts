/** Measures the time from a typed command to its answer. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SimHost } from '../sim/index.js';
import { medians, ms, type Row } from './measure.js';

const RUNS = 10;
const QMCP = fileURLToPath(new URL('../cli/main.js', import.meta.url));

/** Each command, the exit code that it must have, and the most times that an empty program takes, which it may take. */
export async function typed(sim: SimHost): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'qmcp-'));
  const config = join(folder, 'bad.yaml');
  writeFileSync(config, 'plugin: [spawn]\n');
  const client = await sim.client('mcp-control');
  const commands = {
    'qmcp --help': { words: ['--help'], exit: 0, aim: 7.5 },
    'qmcp with a bad flag': { words: ['tools', '--al'], exit: 2, aim: 12.5 },
    'qmcp with a bad configuration': { words: ['tools', '--config', config], exit: 2, aim: 12.5 },
    'qmcp call on a host that is kept': {
      words: ['call', 'qube_list', '--client', client],
      exit: 0,
      aim: 15,
    },
  } as const;
  try {
    const acts = Object.entries(commands).map(([name, { words, exit }]) => [
      name,
      () => ended([QMCP, ...words], exit),
    ]);
    const times = await medians({ nothing: () => ended(['-e', '0'], 0), ...Object.fromEntries(acts) }, RUNS);
    const least = times.get('nothing')!;
    return Object.entries(commands).map(([name, { aim }]) => ({
      what: `${name} ÷ an empty program`,
      ratio: times.get(name)! / least,
      aim: `< ${aim}`,
      detail: `${ms(times.get(name)!)} ÷ ${ms(least)}`,
    }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function ended(words: readonly string[], expected: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, words, { stdio: 'ignore' });
    child.once('close', (exit) =>
      exit === expected ? resolve() : reject(new Error(`${words.join(' ')} exited with ${exit}`)),
    );
  });
}
