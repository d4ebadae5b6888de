import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SEED } from '../../test/support/seed.js';
import type { Api } from '../host/api.js';
import { Host } from '../host/host.js';
import { loadHostSpec } from '../host-spec.js';
import { packageFile } from '../root.js';
import { decodeReply, encodeRequest } from './messages.js';
import { methodsOf, STREAMS } from './methods/index.js';
import { soon } from './replay/replay.js';

const load = (api: Api = '4.4') => Host.load(loadHostSpec('demo'), { api, wait: soon });

/** Every method of the real daemon, with the rules it enforces before one runs. */
const recorded = readFileSync(packageFile('test', 'recordings', 'properties-and-methods-4.4.txt'), 'utf8')
  .split('\n')
  .map((line) => /^(admin\.\S+)\s+arg=(\S+)\s+payload=(\S+)\s+dest_adminvm=(\S+)/.exec(line))
  .filter((match) => match !== null)
  .map(([, name = '', arg, payload, dom0]) => ({ name, arg, payload, dom0 }));

const python = (wanted: boolean | null) => (wanted === null ? 'None' : wanted ? 'True' : 'False');

describe('the method table', () => {
  test('the method table has every method of the real daemon, with the same rules', () => {
    const ours = methodsOf(load());
    for (const row of recorded.filter(({ name }) => !STREAMS.has(name))) {
      const method = ours.get(row.name.replace(/[{}]/g, ''))?.method;
      expect(method, row.name).toBeDefined();
      expect([
        row.name,
        python(method?.arg ?? null),
        python(method?.payload ?? null),
        python(method?.dom0 ?? null),
      ]).toEqual([row.name, row.arg, row.payload, row.dom0]);
    }
  });

  test('the method table has no method that the real daemon does not have', () => {
    const theirs = new Set(recorded.map(({ name }) => name.replace(/\{\w+\}/, '{}')));
    for (const { method } of methodsOf(load()).values())
      expect(theirs.has(method.name), method.name).toBe(true);
  });

  test('a request that breaks a rule of its method is refused, and nothing changes', async () => {
    const host = load();
    const before = host.snapshot();
    const refuse = async (...request: Parameters<typeof encodeRequest>) =>
      expect(decodeReply(await host.call(encodeRequest(...request)))).toMatchObject({
        type: 'ProtocolError',
      });
    for (const [name, { method }] of methodsOf(host)) {
      const argument = method.arg === false ? '' : 'x';
      const payload = method.payload === false ? '' : 'x';
      const dest = method.dom0 === true ? 'dom0' : 'vault';
      if (method.arg === false) await refuse(name, dest, { argument: 'x', payload });
      if (method.arg === true) await refuse(name, dest, { payload });
      if (method.payload === false) await refuse(name, dest, { argument, payload: 'x' });
      if (method.payload === true) await refuse(name, dest, { argument });
      if (method.dom0 === true) await refuse(name, 'vault', { argument, payload });
      if (method.dom0 === false) await refuse(name, 'dom0', { argument, payload });
    }
    expect(host.snapshot()).toEqual(before);
  });
});

describe('an exchange', () => {
  test('a request of 4.2 keeps persistent devices over restarts', async () => {
    const host = load('4.2');
    const ask = async (...request: Parameters<typeof encodeRequest>) =>
      decodeReply(await host.call(encodeRequest(...request)));
    const sda = { argument: 'sys-net+sda' };
    expect(await ask('admin.vm.device.block.Attach', 'vault', sda)).toMatchObject({
      type: 'QubesVMNotRunningError',
    });
    await ask('admin.vm.device.block.Attach', 'vault', { ...sda, payload: 'persistent=True read-only=True' });
    const listed = { kind: 'ok', data: 'sys-net+sda read-only=True persistent=yes\n' };
    expect(await ask('admin.vm.device.block.List', 'vault')).toEqual(listed);
    await ask('admin.vm.Start', 'vault');
    expect(host.domain('vault').devices.attached.get('block')).toHaveLength(1);
    expect(await ask('admin.vm.device.block.Detach', 'vault', sda)).toMatchObject({
      type: 'QubesVMNotHaltedError',
    });
    await ask('admin.vm.device.block.Set.persistent', 'vault', { ...sda, payload: 'False' });
    expect(await ask('admin.vm.device.block.Detach', 'vault', sda)).toEqual({ kind: 'ok', data: '' });
    expect(await ask('admin.vm.device.block.List', 'vault')).toEqual({ kind: 'ok', data: '' });
  });

  test('a malformed request gets an empty reply up to 4.3, and an error message in 4.4', async () => {
    const bad = encodeRequest('admin.vm.List', 'dom0', { argument: 'x' });
    expect(decodeReply(await load('4.4').call(bad))).toMatchObject({ message: 'unexpected argument' });
    for (const api of ['4.3', '4.2'] as const) {
      expect(decodeReply(await load(api).call(bad))).toEqual({ kind: 'none' });
    }
  });

  test('no request breaks the host, whatever its bytes', async () => {
    console.log(`seed ${SEED}`);
    const names = [
      ...new Set((['4.2', '4.3', '4.4'] as const).flatMap((api) => [...methodsOf(load(api)).keys()])),
    ];
    const word = fc.oneof(
      fc.constantFrom(
        '',
        'private',
        'root',
        'work',
        'red',
        'varlibqubes',
        'file',
        'netvm',
        'memory',
        'template',
        'label',
      ),
      fc.constantFrom(
        'sys-net+sda',
        'sys-net+sda+_',
        '_+_+_',
        'work+',
        '+',
        'uuid:x',
        'qrexec',
        'preload',
        'force+wait',
      ),
      fc.string({ maxLength: 12 }),
    );
    const body = fc.oneof(
      fc.constantFrom(
        '',
        'True',
        '1024',
        'all',
        'b******',
        'uuid',
        'vault',
        'dom0',
        '0x123456',
        'action=accept',
      ),
      fc.constantFrom(
        "mode='required'",
        "mode='manual' _x='y'",
        'name=x label=red',
        'name=p\ndir_path=/p',
        '-1',
      ),
      fc.string({ maxLength: 40 }),
      fc.uint8Array({ maxLength: 20 }),
    );
    const dest = fc.constantFrom(
      'dom0',
      'work',
      'vault',
      'debian-13',
      'sys-net',
      'default-dvm',
      'far',
      'nosuch',
    );
    const request = fc.record({
      name: fc.constantFrom(...names),
      dest,
      argument: word,
      payload: body,
      source: fc.constantFrom('dom0', 'work', 'mcp-control'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom<Api>('4.2', '4.3', '4.4'),
        fc.array(request, { minLength: 1, maxLength: 80 }),
        async (api, requests) => {
          const host = load(api);
          await host.call(
            encodeRequest('admin.vm.Create.RemoteVM', 'dom0', { payload: 'name=far label=red' }),
          );
          for (const { name, dest: target, ...rest } of requests) {
            const reply = await host.call(encodeRequest(name, target, rest));
            expect(reply.length === 0 || reply[0] === 0x30 || reply[0] === 0x32).toBe(true);
            await host.idle();
          }
          host.snapshot();
          host.system();
        },
      ),
      { seed: SEED, numRuns: 200 },
    );
  });
});
