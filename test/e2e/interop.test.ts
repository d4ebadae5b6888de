import { describe, expect, test } from 'vitest';
import { BUILT_IN } from '../../plugins/index.js';
import { type AnyClient, v1, v2 } from './clients.js';

const SIM = ['--host', 'sim'];
const MODERN = '2026-07-28';
const LEGACY = '2025-11-25';

const CLIENTS: readonly [string, string, () => Promise<AnyClient>][] = [
  ['a v2 client that insists on the 2026 era', MODERN, () => v2(SIM, { pin: MODERN })],
  ['a v2 client that finds out the era itself', MODERN, () => v2(SIM, 'auto')],
  ['a v2 client in the 2025 era', LEGACY, () => v2(SIM, 'legacy')],
  ['a v1 client', LEGACY, () => v1(SIM)],
];

describe.each(CLIENTS)('%s', (_who, protocol, connect) => {
  test('makes a qube, runs a command in it and removes it', { timeout: 60_000 }, async () => {
    const client = await connect();
    try {
      expect(client.protocol).toBe(protocol);
      const shipped = BUILT_IN.flatMap(({ tools }) => tools.map(({ name }) => name));
      expect((await client.tools()).map(({ name }) => name)).toEqual(shipped);
      const done = async (name: string, args: Record<string, unknown>) => {
        const { isError, structuredContent } = await client.call(name, args);
        expect([name, isError ?? false, structuredContent?.error]).toEqual([name, false, undefined]);
        return structuredContent!;
      };
      const names = async () =>
        ((await done('qube_list', {})).qubes as { name: string }[]).map(({ name }) => name);

      expect(await names()).toEqual(['ai-debian']);
      expect(await done('qube_spawn', { name: 'ai-one', template: 'ai-debian' })).toMatchObject({
        name: 'ai-one',
        template: 'ai-debian',
        network: 'sys-ai-net',
        state: 'halted',
      });
      expect(await done('qube_start', { qube: 'ai-one' })).toMatchObject({ state: 'running' });
      expect(await done('exec_run', { qube: 'ai-one', command: 'echo hello | tr a-z A-Z' })).toMatchObject({
        exit: 0,
        stdout: 'HELLO\n',
        stderr: '',
      });
      expect(await done('qube_shutdown', { qube: 'ai-one' })).toMatchObject({ state: 'halted' });
      expect(await done('qube_remove', { qube: 'ai-one' })).toEqual({ removed: 'ai-one' });
      expect(await names()).toEqual(['ai-debian']);
    } finally {
      await client.close();
    }
  });

  test('gets a refusal as a result it can read, and cannot tell a hidden qube from a missing one', {
    timeout: 60_000,
  }, async () => {
    const client = await connect();
    try {
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
    } finally {
      await client.close();
    }
  });
});
