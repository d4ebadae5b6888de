#!/usr/bin/env node
/**
 * Writes the files that are committed but derived: the contracts dom0 installs, the JSON Schema of the config file, dom0's
 * side of the presets, the default policy, the reference in docs/. With `--check` it writes nothing and exits 1 when one of them differs.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { contractOf } from '../../core/boot/contract.js';
import { ConfigFile } from '../../core/config/schema.js';
import { BUILT_IN } from '../../plugins/index.js';
import { python } from '../../sim/python.js';
import { ceilings } from './ceilings.js';
import { cited } from './citations.js';
import { cliPage } from './pages/cli.js';
import { configPage } from './pages/config.js';
import { errorsPage } from './pages/errors.js';
import { invariantsPage } from './pages/invariants.js';
import { stepsPage } from './pages/steps.js';
import { toolsPage } from './pages/tools.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const CONTRACTS = join(ROOT, 'dom0', 'contracts');

const POLICY = join(ROOT, 'dom0', 'policy', '30-qmcp.policy');
const WORDS = join(ROOT, 'dom0', 'settings', 'vocabulary.toml');
const VOCABULARY = join(ROOT, 'core', 'api', 'generated', 'steps.ts');
const CITED = join(ROOT, 'cli', 'shipped', 'generated', 'citations.ts');
const BIOME = join(ROOT, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
const CONFIG_SCHEMA = join(ROOT, 'config', 'generated', 'qmcp.schema.json');

/** Pretty, because people review it; what is digested is the canonical form, whatever the spacing. */
const pretty = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

function contracts(): Map<string, string> {
  const files = new Map<string, string>();
  for (const plugin of BUILT_IN)
    for (const service of plugin.services)
      files.set(join(CONTRACTS, `${service.name}.json`), pretty(contractOf(plugin, service)));
  return files;
}

function configSchema(): Map<string, string> {
  const head = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'The configuration of qmcp',
  };
  return new Map([[CONFIG_SCHEMA, pretty({ ...head, ...ConfigFile })]]);
}

/** The words of a contract, as TypeScript: what dom0's kernel does not know, no author can write. */
async function vocabulary(): Promise<Map<string, string>> {
  const { step } = parse(await readFile(WORDS, 'utf8')) as {
    step: Record<string, { arguments: Record<string, string | string[]>; methods: string[] }>;
  };
  const entries = Object.entries(step).map(([name, { arguments: taken, methods }]) => [
    name,
    { arguments: taken, methods },
  ]);
  const text = `// Generated from dom0/settings/vocabulary.toml by \`npm run generate\`.\nexport const STEPS = ${JSON.stringify(Object.fromEntries(entries), null, 2)} as const;\n`;
  return new Map([[VOCABULARY, formatted(text, VOCABULARY)]]);
}

/** Which tests show which invariant, for \`qmcp explain\`: the tests do not ship. */
function citations(): Map<string, string> {
  const type = 'Readonly<Record<string, readonly { readonly file: string; readonly test: string }[]>>';
  const text = `// Generated from test/cites.yaml by \`npm run generate\`.\nexport const CITED: ${type} = ${JSON.stringify(cited(ROOT))};\n`;
  return new Map([[CITED, formatted(text, CITED)]]);
}

function formatted(text: string, path: string): string {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [BIOME, 'format', '--stdin-file-path', relative(ROOT, path)],
    { encoding: 'utf8', input: text, cwd: ROOT },
  );
  if (status !== 0) throw new Error(stderr);
  return stdout;
}

/** Made by dom0's own generator, from the contracts on disk: they are written first. */
function policy(): Map<string, string> {
  const admin = join(ROOT, 'dom0', 'operator', 'qmcp-admin');
  const from = ['--config', join(ROOT, 'dom0', 'qmcp.toml'), '--contracts', CONTRACTS];
  const { status, stdout, stderr, error } = spawnSync(python(), ['-B', admin, 'policy', 'render', ...from], {
    encoding: 'utf8',
  });
  if (error) throw error;
  if (status !== 0) throw new Error(stderr.trim());
  return new Map([[POLICY, stdout]]);
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

/** The files that were not as they should be; they are put right unless `check`. */
async function settle(files: ReadonlyMap<string, string>, check: boolean): Promise<string[]> {
  const different: string[] = [];
  for (const [path, content] of files) {
    if ((await read(path)) === content) continue;
    different.push(path);
    if (check) continue;
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  return different;
}

async function main(check: boolean): Promise<number> {
  const ours = contracts();
  const reference = join(ROOT, 'docs', 'reference');
  const pages = Object.entries({
    'tools.md': toolsPage(),
    'invariants.md': invariantsPage(ROOT),
    'errors.md': errorsPage(ROOT),
    'config.md': await configPage(ROOT),
    'contract-steps.md': stepsPage(ROOT),
    'cli.md': cliPage(),
  }).map(([name, text]) => [join(reference, name), `${text.trimEnd()}\n`] as const);
  const derived = [
    ...pages,
    ...citations(),
    ...configSchema(),
    ...(await vocabulary()),
    ...(await ceilings(join(ROOT, 'config', 'generated'))),
  ];
  const different = await settle(new Map([...ours, ...derived]), check);
  for (const path of await leftovers(ours)) {
    different.push(path);
    if (!check) await rm(path);
  }
  different.push(...(await settle(policy(), check)));
  for (const path of different)
    process.stdout.write(`${check ? 'out of date' : 'wrote'}: ${relative(ROOT, path)}\n`);
  if (!check || different.length === 0) return 0;
  process.stdout.write('run: npm run generate\n');
  return 1;
}

process.exitCode = await main(process.argv.includes('--check'));
