import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OWN_TOOLS } from '../../core/serve/background.js';
import { BUILT_IN } from '../../plugins/index.js';
import { sharedHarness } from '../support/harness.js';
import { type AnyClient, v1, v2 } from './clients.js';

/** One host for all clients: each makes its own qubes. */
const harness = sharedHarness();
const server = async () => ['--client', await harness().client()];

const MODERN = '2026-07-28';
const LEGACY = '2025-11-25';

const CLIENTS: readonly [who: string, qube: string, protocol: string, () => Promise<AnyClient>][] = [
  [
    'a v2 client that insists on the 2026 era',
    'ai-pinned',
    MODERN,
    async () => v2(await server(), { pin: MODERN }),
  ],
  ['a v2 client that finds out the era itself', 'ai-auto', MODERN, async () => v2(await server(), 'auto')],
  ['a v2 client in the 2025 era', 'ai-legacy', LEGACY, async () => v2(await server(), 'legacy')],
  ['a v1 client', 'ai-v1', LEGACY, async () => v1(await server())],
];

describe.each(CLIENTS)('%s', (_who, qube, protocol, connect) => {
  let client: AnyClient;
  beforeAll(async () => {
    client = await connect();
  });
  afterAll(() => client.close());

  test('the client makes a qube, runs a command in it and removes it', async () => {
    expect(client.protocol).toBe(protocol);
    const shipped = BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => name));
    expect((await client.tools()).map(({ name }) => name)).toEqual([...shipped, ...OWN_TOOLS]);
    const done = async (name: string, args: Record<string, unknown>) => {
      const { isError, structuredContent } = await client.call(name, args);
      expect([name, isError ?? false, structuredContent?.error]).toEqual([name, false, undefined]);
      return structuredContent!;
    };
    const names = async () =>
      ((await done('qube_list', {})).qubes as { name: string }[]).map(({ name }) => name);

    expect(await names()).toEqual(['ai-debian']);
    expect(await done('qube_spawn', { name: qube, template: 'ai-debian' })).toMatchObject({
      name: qube,
      template: 'ai-debian',
      network: 'sys-ai-net',
      state: 'halted',
    });
    expect(await done('qube_start', { qube })).toMatchObject({ state: 'running' });
    expect(await done('exec_run', { qube, command: 'echo hello | tr a-z A-Z' })).toMatchObject({
      exit: 0,
      stdout: 'HELLO\n',
      stderr: '',
    });
    expect(await done('qube_shutdown', { qube })).toMatchObject({ state: 'halted' });
    expect(await done('qube_remove', { qube })).toEqual({ removed: qube });
    expect(await names()).toEqual(['ai-debian']);
  });

  test('the client gets a refusal as a readable result, and cannot tell a hidden qube from a missing one', async () => {
    const bytes = async (name: string, args: Record<string, unknown>) => {
      const result = await client.call(name, args);
      expect(result.isError).toBe(true);
      return JSON.stringify(result);
    };
    for (const [tool, more] of [
      ['qube_state', {}],
      ['qube_start', {}],
      ['qube_shutdown', { timeout: 5 }],
      ['qube_remove', {}],
      ['exec_run', { command: 'id' }],
    ] as const) {
      const [hidden, missing] = [
        await bytes(tool, { qube: 'vault', ...more }),
        await bytes(tool, { qube: 'no-such-qube', ...more }),
      ];
      expect(hidden).toBe(missing);
      expect(hidden).toContain('"code":"not-found"');
    }
    const spawn = (template: string) => bytes('qube_spawn', { name: 'ai-two', template });
    expect(await spawn('debian-13')).toBe(await spawn('no-such-template'));
    expect(await bytes('qube_spawn', { name: 'vault', template: 'ai-debian' })).toContain(
      '"code":"name-not-allowed"',
    );
    expect(await bytes('qube_state', {})).toContain('"code":"invalid-request"');
  });
});
