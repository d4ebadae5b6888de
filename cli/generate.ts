#!/usr/bin/env node
/**
 * Writes the files that are committed but derived: the contracts dom0 installs, the JSON Schema of the config file, the
 * default policy. With `--check` it writes nothing and exits 1 when one of them differs.
 */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { contractOf } from '../core/api/contract.js';
import { BUILT_IN } from '../plugins/index.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CONTRACTS = join(ROOT, 'dom0', 'contracts');

/** Pretty, because people review it; what is digested is the canonical form, whatever the spacing. */
const pretty = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

function contracts(): Map<string, string> {
  const files = new Map<string, string>();
  for (const plugin of BUILT_IN)
    for (const service of plugin.services)
      files.set(join(CONTRACTS, `${service.name}.json`), pretty(contractOf(plugin, service)));
  return files;
}

async function read(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined;
  }
}

/** Contracts on disk that no built-in plugin declares any more. */
async function leftovers(files: ReadonlyMap<string, string>): Promise<string[]> {
  const present = await readdir(CONTRACTS).catch(() => []);
  return present
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(CONTRACTS, name))
    .filter((path) => !files.has(path));
}

async function main(check: boolean): Promise<number> {
  const files = new Map([...contracts()]);
  const different: string[] = [];
  for (const [path, content] of files) {
    if ((await read(path)) === content) continue;
    different.push(path);
    if (check) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  for (const path of await leftovers(files)) {
    different.push(path);
    if (!check) await rm(path);
  }
  for (const path of different)
    process.stdout.write(`${check ? 'out of date' : 'wrote'}: ${relative(ROOT, path)}\n`);
  if (!check || different.length === 0) return 0;
  process.stdout.write('run: npm run generate\n');
  return 1;
}

process.exitCode = await main(process.argv.includes('--check'));
