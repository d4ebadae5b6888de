#!/usr/bin/env node
/**
 * Writes the committed files that are generated: dom0/spec as TypeScript, the contracts that dom0 installs, the JSON Schema of the
 * configuration file, dom0's side of the presets, the default policy and docs/reference. With `--check` it writes nothing, and
 * exits 1 when a file differs.
 */
import { spawnSync } from 'node:child_process';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { STEPS } from '../../core/api/generated/steps.js';
import { type Contract, contractOf } from '../../core/boot/contract.js';
import { ConfigFile } from '../../core/config/schema.js';
import { BUILT_IN } from '../../plugins/index.js';
import { python } from '../../sim/python.js';
import { ceilings } from './ceilings.js';
import { readCitations } from './citations.js';
import { formatted, pretty, ROOT, report, writeChanged } from './files.js';
import { cliPage } from './pages/cli.js';
import { configPage } from './pages/config.js';
import { errorsPage } from './pages/errors.js';
import { featuresPage } from './pages/features.js';
import { invariantsPage } from './pages/invariants.js';
import { limitsPage } from './pages/limits.js';
import { namesPage } from './pages/names.js';
import { statementsPage } from './pages/statements.js';
import { stepsPage } from './pages/steps.js';
import { toolsPage } from './pages/tools.js';
import { readSpec, specFiles } from './spec.js';

const CONTRACTS = join(ROOT, 'dom0', 'contracts');

/** Contracts of a plugin that does not exist yet. */
const TEMPLATES = join(ROOT, 'cli', 'templates', 'plugin', 'contracts');

const POLICY = join(ROOT, 'dom0', 'policy', '30-qmcp.policy');
const CITED = join(ROOT, 'cli', 'shipped', 'generated', 'citations.ts');
const CONFIG_SCHEMA = join(ROOT, 'config', 'generated', 'qmcp.schema.json');

function contracts(): Map<string, string> {
  const files = new Map<string, string>();
  for (const plugin of BUILT_IN)
    for (const service of plugin.services)
      files.set(join(CONTRACTS, `${service.name}.json`), pretty(contractOf(plugin, service)));
  return files;
}

/** The contracts of the plugin that an author starts from. Their services are in templates; only the methods come from dom0/spec. */
async function templateContracts(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const name of await readdir(TEMPLATES)) {
    const contract = JSON.parse(await readFile(join(TEMPLATES, name), 'utf8')) as Pick<Contract, 'steps'>;
    const calls = contract.steps.flatMap(({ do: step }) => STEPS[step].methods).sort();
    files.set(join(TEMPLATES, name), pretty({ ...contract, calls }));
  }
  return files;
}

function configSchema(): Map<string, string> {
  const head = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'The configuration of qmcp',
  };
  return new Map([[CONFIG_SCHEMA, pretty({ ...head, ...ConfigFile })]]);
}

/** The tests that cite each invariant, for `qmcp explain`. They are copied because the tests do not ship. */
function citations(): Map<string, string> {
  const type = 'Readonly<Record<string, readonly { readonly file: string; readonly test: string }[]>>';
  const text = `// Generated from test/cites.yaml by \`npm run generate\`.\nexport const CITED: ${type} = ${JSON.stringify(readCitations(ROOT))};\n`;
  return new Map([[CITED, formatted(text, CITED)]]);
}

/** Rendered by dom0's own generator from the contracts on disk, so these must be written first. */
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

/** Contracts on disk that no built-in plugin declares. */
async function leftovers(files: ReadonlyMap<string, string>): Promise<string[]> {
  const present = await readdir(CONTRACTS).catch(() => []);
  return present
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(CONTRACTS, name))
    .filter((path) => !files.has(path));
}

async function main(check: boolean): Promise<number> {
  const [spec, contractFiles] = [readSpec(), contracts()];
  const reference = join(ROOT, 'docs', 'reference');
  const pages = Object.entries({
    'tools.md': toolsPage(),
    'invariants.md': invariantsPage(ROOT),
    'errors.md': errorsPage(ROOT),
    'config.md': await configPage(ROOT),
    'contract-steps.md': stepsPage(),
    'cli.md': cliPage(),
    'limits.md': limitsPage(spec),
    'names.md': namesPage(),
    'features.md': featuresPage(spec),
  }).map(([name, text]) => [join(reference, name), `${text.trimEnd()}\n`] as const);
  const derived = [
    ...pages,
    [join(ROOT, 'docs', 'invariants.md'), statementsPage(ROOT)] as const,
    ...(await templateContracts()),
    ...citations(),
    ...configSchema(),
    ...specFiles(spec),
    ...(await ceilings(join(ROOT, 'config', 'generated'))),
  ];
  const different = await writeChanged(new Map([...contractFiles, ...derived]), check);
  for (const path of await leftovers(contractFiles)) {
    different.push(path);
    if (!check) await rm(path);
  }
  different.push(...(await writeChanged(policy(), check)));
  report(different, check);
  if (!check || different.length === 0) return 0;
  process.stdout.write('run: npm run generate\n');
  return 1;
}

process.exitCode = await main(process.argv.includes('--check'));
