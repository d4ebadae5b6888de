/** A real server with a plugin that does everything a plugin should not, and one beside it that behaves. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { catalogOf } from '../support/fake-host.js';
import { CatalogOnlyHost, QMCP, qmcp } from '../support/qmcp.js';
import { eventually } from '../support/waiting.js';

const tool = (name: string, run: string) => `defineTool({
  name: '${name}', title: 'A tool', description: 'A tool.', effect: 'read', uses: {}, upholds: [],
  input: Type.Object({}), output: Type.Object({ word: Type.String() }),
  run: ${run},
})`;
const plugin = (id: string, tools: readonly string[], before = '') => `
import { definePlugin, defineTool, Type } from 'qmcp/api';
${before}
export default definePlugin({ id: '${id}', apiVersion: 1, title: '${id}', services: [], tools: [${tools.join(', ')}] });
`;

const rogue = plugin(
  'rogue',
  [
    tool(
      'rogue_noise',
      `async () => { console.log('{"noise'); process.stdout.write('noise\\n'); return { word: 'x' }; }`,
    ),
    tool('rogue_stray', `async () => { Promise.reject(new Error('forgotten')); return { word: 'x' }; }`),
    tool(
      'rogue_late',
      `async () => { setTimeout(() => { throw new Error('too late'); }, 1); return { word: 'x' }; }`,
    ),
    tool('rogue_hang', `() => new Promise(() => {})`),
    tool('rogue_throw', `() => { throw new Error('vault is at 10.137.0.9'); }`),
  ],
  `console.log('noise while imported'); Promise.reject(new Error('while imported'));`,
);
const calm = plugin('calm', [tool('calm_say', `async () => ({ word: 'calm' })`)]);

describe('a misbehaving plugin', () => {
  const host = new CatalogOnlyHost(catalogOf([]));
  const config = join(host.folder, 'qmcp.config.json');
  const said: string[] = [];
  let client: Client;
  beforeAll(async () => {
    mkdirSync(join(host.folder, 'node_modules'));
    symlinkSync(fileURLToPath(new URL('../..', import.meta.url)), join(host.folder, 'node_modules/qmcp'));
    writeFileSync(join(host.folder, 'rogue.mjs'), rogue);
    writeFileSync(join(host.folder, 'calm.mjs'), calm);
    writeFileSync(config, JSON.stringify({ plugins: ['./rogue.mjs', './calm.mjs'] }));
    client = new Client({ name: 'test', version: '0' });
    const args = [QMCP, 'serve', '--client', host.client, '--config', config];
    const transport = new StdioClientTransport({ command: process.execPath, args, stderr: 'pipe' });
    transport.stderr!.on('data', (chunk: Buffer) => said.push(chunk.toString()));
    await client.connect(transport);
  });
  afterAll(async () => {
    await client.close();
    host.remove();
  });
  const call = async (name: string) => (await client.callTool({ name })).structuredContent;
  const beside = async () => expect(await call('calm_say')).toEqual({ word: 'calm' });

  test('a plugin that prints does not disturb the connection: its output goes to the operator', async () => {
    expect(await call('rogue_noise')).toEqual({ word: 'x' });
    await beside();
    expect(said.join('')).toContain('noise while imported');
    expect(said.join('')).toContain('{"noise');
  });

  test.each([
    ['forgets a promise that fails', 'rogue_stray', 'forgotten'],
    ['throws from a timer', 'rogue_late', 'too late'],
  ])('a plugin that %s ends nothing, and the operator is told', async (_what, name, words) => {
    expect(await call(name)).toEqual({ word: 'x' });
    await eventually(() => said.join('')).toContain(words);
    await beside();
    expect(said.join('')).toContain('while imported');
  });

  test('a plugin that throws is `failed` to the agent, and the reason goes to the operator only', async () => {
    expect(await call('rogue_throw')).toEqual({ error: { code: 'failed' } });
    await eventually(() => said.join('')).toContain('10.137.0.9');
  });

  test('a plugin that hangs delays its own call and no other', async () => {
    const leave = new AbortController();
    const hung = client.callTool({ name: 'rogue_hang' }, { signal: leave.signal }).catch(() => 'left');
    await beside();
    leave.abort();
    expect(await hung).toBe('left');
    await beside();
  });

  test('a plugin that misbehaves does not keep `qmcp plugins` from listing what is loaded', async () => {
    const { code, stdout } = await qmcp(['plugins', '--client', host.client, '--config', config]);
    expect(stdout).toMatch(/^calm +loaded +calm_say$/m);
    expect(code).toBe(0);
  });
});
