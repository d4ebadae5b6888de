/**
 * Follows docs/how-to/write-a-plugin.md: runs its commands unchanged in an empty folder, with the packed package. Only the paths
 * differ, and where `qmcp` is installed from.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { eventually } from '../support/waiting.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TUTORIAL = readFileSync(join(ROOT, 'docs/how-to/write-a-plugin.md'), 'utf8');
const { typescript, vite, vitest } = manifest.devDependencies;

/** The vault signs with OpenSSH's own program. */
const hasKeygen = spawnSync('ssh-keygen', ['-?']).error === undefined;

const home = mkdtempSync(join(tmpdir(), 'qmcp-author-'));
const host = mkdtempSync(join(tmpdir(), 'qmcp-'));
let tarball: string;
const done = new Set<string>();

/**
 * An author's `npm install` on this machine. Libraries of the checkout are copied instead of unpacked; npm removes those that
 * the author does not request.
 */
const install = () => `mkdir node_modules
cp -R '${ROOT}node_modules'/* node_modules
npm install --ignore-scripts --prefer-offline --no-audit --no-fund ${tarball} typescript@${typescript} vite@${vite} vitest@${vitest} @types/node@${manifest.devDependencies['@types/node']}`;

/** The commands of one step of the tutorial, for this machine. */
function commands(step: string): string {
  const found = new RegExp(`^\`\`\`sh ${step}\n([\\s\\S]*?)^\`\`\``, 'm').exec(TUTORIAL)?.[1];
  if (found === undefined) throw new Error(`the tutorial has no step ${step}`);
  done.add(step);
  return found.replaceAll('/tmp/host', host).replace('npm install qmcp typescript vitest', install());
}

interface Ran {
  readonly code: number | null;
  readonly output: string;
}

function run(line: string, cwd = home): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn('bash', ['-e', '-c', line], { cwd, env: { ...process.env, NO_COLOR: '1', CI: '1' } });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    child.once('close', (code) => resolve({ code, output }));
  });
}

/** Fails the test with the complete output unless the command ended as expected. */
async function follow(step: string, code = 0): Promise<string> {
  const ran = await run(commands(step));
  expect(ran, ran.output).toMatchObject({ code });
  return ran.output;
}

/** The tools of an agent that is served as the tutorial says. */
async function session<T>(
  more: readonly string[],
  work: (client: Client) => Promise<T>,
  from = join(home, 'node_modules/qmcp'),
): Promise<T> {
  // npx --no-install qmcp
  const [, , , ...words] = [...commands('serve').trim().split(' '), ...more];
  const client = new Client({ name: 'author', version: '0' });
  const args = [join(from, 'cli/qmcp.js'), ...words];
  const command = process.execPath;
  await client.connect(new StdioClientTransport({ command, args, cwd: home, stderr: 'ignore' }));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}
const toolsOf = async (client: Client) => (await client.listTools()).tools.map(({ name }) => name);

let running: ChildProcess;
async function serveHost(): Promise<void> {
  running = spawn('bash', ['-c', `exec ${commands('host').trim()}`], {
    cwd: home,
    stdio: ['ignore', 'pipe', 'inherit'],
    // The runner of npm starts the host as a separate process, and does not pass a signal on.
    detached: true,
  });
  const up = await new Promise<string>((resolve) => {
    running.stdout!.setEncoding('utf8').on('data', resolve);
    running.once('close', (code) => resolve(`it ended with ${code}`));
  });
  expect(up).toContain('A simulated host is running');
}

beforeAll(async () => {
  const packed = await run(`npm pack --silent --pack-destination ${home}`, ROOT);
  expect(packed, packed.output).toMatchObject({ code: 0 });
  const [name] = readdirSync(home).filter((file) => file.endsWith('.tgz'));
  tarball = join(home, name!);
  await follow('install');
});
afterAll(async () => {
  if (running?.exitCode === null) {
    const gone = new Promise((resolve) => running.once('close', resolve));
    process.kill(-running.pid!, 'SIGTERM');
    await gone;
  }
  for (const folder of [home, host]) rmSync(folder, { recursive: true, force: true });
});

describe('the first ten minutes of an author', () => {
  test('the installed package runs without sources and without compiling', () => {
    const installed = readdirSync(join(home, 'node_modules/qmcp'));
    expect(installed).not.toContain('scripts');
    expect(installed).not.toContain('core');
    const libraries = readdirSync(join(home, 'node_modules'));
    expect(libraries).toEqual(expect.arrayContaining(['typebox', 'typescript', 'vitest']));
    for (const ours of ['fast-check', 'gpt-tokenizer', 'oxc-parser', 'pyright'])
      expect(libraries).not.toContain(ours);
  });

  test('a new plugin passes its tests unchanged, and its contracts are up to date', async () => {
    await follow('new');
    const passed = await follow('test');
    expect(passed).toMatch(/Tests +6 passed/);
    const shipped = readFileSync(join(home, 'hello/contracts/qmcp.hello.Look.json'), 'utf8');
    expect(await follow('contracts')).toContain('contracts/qmcp.hello.Look.json');
    expect(readFileSync(join(home, 'hello/contracts/qmcp.hello.Look.json'), 'utf8')).toBe(shipped);
  });

  test('a mistake in a contract is the only compile error, with no development dependency of ours', async () => {
    const misspell = `sed -i "s/'\\$target'/'\\$other'/" src/services.ts`;
    const types =
      '../node_modules/.bin/tsc -p tsconfig.build.json --noEmit --skipLibCheck false --singleThreaded';
    const { code, output } = await run(`cp -r hello typo && cd typo && ${misspell} && ${types}`);
    expect(code, output).not.toBe(0);
    expect(output.match(/error TS/g)).toHaveLength(1);
    expect(output).toMatch(/^src\/services\.ts\(\d+,\d+\): error TS.*"other"/s);
  });

  test('a plugin that is served before its contract is in dom0 is refused, and its tool is absent', async () => {
    await follow('config');
    await serveHost();
    const said = await follow('refused', 1);
    expect(said).toMatch(/hello +refused +service-missing/);
    expect(said).toContain('qmcp-admin contract install qmcp.hello.Look.json');
    const tools = await session(['--on-refusal', 'skip'], toolsOf);
    expect(tools).toContain('qube_list');
    expect(tools).not.toContain('hello_greet');
  });

  test('after the operator reviewed and installed the contract, the tool works over MCP', async () => {
    const review = await follow('review');
    expect(review).toContain('qmcp.hello.Look');
    expect(review).toMatch(/belongs to the plugin hello: read\n.*at least the tier read/);
    await follow('operator');
    expect(await follow('check')).toContain('No problem was found');
    // qmcpd reads its files again once a second.
    await eventually(() => follow('plugins')).toMatch(/hello +loaded +hello_greet/);
    await session([], async (client) => {
      expect(await toolsOf(client)).toContain('hello_greet');
      const greet = (qube: string) => client.callTool({ name: 'hello_greet', arguments: { qube } });
      expect((await greet('ai-debian')).structuredContent).toEqual({
        greeting: 'Hello, ai-debian! You are halted.',
      });
      const [hidden, missing] = [await greet('vault'), await greet('no-such-qube')];
      expect(hidden).toMatchObject({ isError: true, structuredContent: { error: { code: 'not-found' } } });
      expect(hidden).toEqual(missing);
    });
  });

  test('a plugin works on a server that is another copy of the package than the one it imports', async () => {
    await session(
      [],
      async (client) => {
        const greet = (qube: string) => client.callTool({ name: 'hello_greet', arguments: { qube } });
        expect((await greet('ai-debian')).structuredContent).toHaveProperty('greeting');
        expect((await greet('vault')).structuredContent).toEqual({ error: { code: 'not-found' } });
      },
      ROOT,
    );
  });

  test.skipIf(!hasKeygen)('the example plugin passes its tests with only the packed package', async () => {
    const kept = (path: string) => !/\/(node_modules|dist)$/.test(path);
    cpSync(join(ROOT, 'examples/vault'), join(home, 'vault'), { recursive: true, filter: kept });
    const passed = await run('npm test', join(home, 'vault'));
    expect(passed, passed.output).toMatchObject({ code: 0 });
    expect(passed.output).toMatch(/Tests +11 passed/);
  });

  test('these tests run every command of the tutorial', () => {
    const steps = [...TUTORIAL.matchAll(/^```sh (\w+)$/gm)].map(([, step]) => step);
    expect([...done].sort()).toEqual(steps.sort());
    expect(TUTORIAL.match(/^```sh$/gm)).toBeNull();
  });
});
