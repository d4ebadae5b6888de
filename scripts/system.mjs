/**
 * The tests that need a machine with systemd: builds a Debian root, boots it in a container, and installs qmcp there.
 *
 *     npm run test:system                   needs root, systemd-nspawn and mmdebstrap; fails without them
 *     npm run test:system -- --install      installs these two first, with apt-get
 *     npm run test:system -- --if-possible  where they cannot run, says why, and succeeds
 *
 * Other words go to vitest. The root is built once for each list of packages, in QMCP_SYSTEM_CACHE (/var/cache/qmcp-system).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ready } from './ready.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const CACHE = process.env.QMCP_SYSTEM_CACHE ?? '/var/cache/qmcp-system';
/** What this machine needs; what the container gets beside the essential packages. */
const TOOLS = { 'systemd-nspawn': 'systemd-container', mmdebstrap: 'mmdebstrap' };
const PACKAGES = ['dbus', 'libstdc++6', 'procps', 'python3', 'systemd', 'systemd-sysv'];
/** The same release as this machine's: its registry certainly has that. */
const RELEASE = /^VERSION_CODENAME=(\w+)$/m.exec(textOf('/etc/os-release'))?.[1];

const say = (text) => process.stderr.write(`system: ${text}\n`);

function textOf(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/** Runs a program; its output is printed only when it fails. */
function quietly(command, words, minutes) {
  const { status, error, stdout, stderr } = spawnSync(command, words, {
    encoding: 'utf8',
    timeout: minutes * 60_000,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  if (error || status !== 0)
    throw new Error(
      `${command} ${words.join(' ')}: ${error?.message ?? `exit code ${status}`}\n${`${stdout}${stderr}`.split('\n').slice(-8).join('\n')}`,
    );
}

const isThere = (tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;

function tools(install) {
  if (process.getuid?.() !== 0) throw new Error('it needs root, to boot a container');
  if (RELEASE === undefined || !isThere('apt-get')) throw new Error('it needs Debian');
  const missing = Object.keys(TOOLS).filter((tool) => !isThere(tool));
  if (missing.length === 0) return;
  const packages = missing.map((tool) => TOOLS[tool]);
  if (!install) throw new Error(`missing: ${packages.join(' ')}; --install installs them`);
  say(`installing ${packages.join(' ')}`);
  quietly('apt-get', ['update'], 3);
  quietly('apt-get', ['install', '-y', '--no-install-recommends', ...packages], 5);
}

/** The path of the root, which is built when there is none for this list of packages. */
function base() {
  const key = createHash('sha256')
    .update(JSON.stringify([RELEASE, PACKAGES]))
    .digest('hex')
    .slice(0, 16);
  const path = join(CACHE, `${RELEASE}-${key}`);
  if (existsSync(path)) return path;
  say(`building a root of Debian ${RELEASE}, once (about a minute): ${path}`);
  mkdirSync(CACHE, { recursive: true });
  const draft = mkdtempSync(join(CACHE, 'draft-'));
  try {
    const words = ['--quiet', '--variant=minbase', `--include=${PACKAGES.join(',')}`, RELEASE];
    quietly('mmdebstrap', [...words, join(draft, 'root')], 10);
    if (!existsSync(path)) renameSync(join(draft, 'root'), path);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return path;
}

/** Mounts and processes of this command end with it. */
const APART = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];

/** Boots the root once, to the state in which systemd ends at once. */
function probe(root) {
  say('trying whether this machine can boot a container');
  const folder = mkdtempSync(join(tmpdir(), 'qmcp-probe-'));
  const layers = `lowerdir=${root},upperdir=${folder}/upper,workdir=${folder}/work`;
  const nspawn =
    'systemd-nspawn --quiet --register=no --keep-unit --private-network --console=pipe --boot --directory="$1/root"';
  const script = `cd "$1" && mkdir upper work root && mount -t overlay overlay -o "$2" root && ${nspawn} systemd.unit=poweroff.target`;
  try {
    quietly('unshare', [...APART, 'sh', '-euc', script, 'sh', folder, layers], 2);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main() {
  const own = new Set(['--install', '--if-possible']);
  const words = process.argv.slice(2);
  await ready();
  let root;
  try {
    tools(words.includes('--install'));
    root = base();
    probe(root);
  } catch (problem) {
    // Whatever keeps this machine from booting a container is not a failure of what the tests test.
    say(`NOT RUN: ${problem.message}`);
    process.exitCode = words.includes('--if-possible') ? 0 : 1;
    return;
  }
  const config = join(ROOT, 'test/system/vitest.config.ts');
  const vitest = [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run', '--root', ROOT, '--config', config];
  const { status } = spawnSync(
    'unshare',
    [...APART, process.execPath, ...vitest, ...words.filter((word) => !own.has(word))],
    { stdio: 'inherit', env: { ...process.env, QMCP_SYSTEM_ROOT: root } },
  );
  process.exitCode = status ?? 1;
}

await main();
