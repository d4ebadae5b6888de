import { appendFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { roomy, sharedHarness } from '../support/harness.js';
import { eventually } from '../support/waiting.js';

const host = sharedHarness({
  prepare: (root) => {
    roomy(root);
    appendFileSync(
      join(root, 'etc/qmcp/qmcp.toml'),
      '\n[world.lab]\nprefix = "lab-"\n[world.lab.principal.lab-control]\nplugins = ["inspect"]\n',
    );
  },
});
const HEAD = 'qmcp.inspect.List+ mcp-control keyword adminvm\0';
const MAX = 65_536;

const CASES: Record<string, [bytes: string | Buffer, code: string]> = {
  'nothing at all': ['', 'invalid-request'],
  'one NUL': ['\0', 'invalid-request'],
  'no NUL': ['qmcp.inspect.List+ mcp-control keyword adminvm', 'invalid-request'],
  'a descriptor of noise': [Buffer.from([0xff, 0xfe, 0x20, 0x00, 0x7b, 0x7d]), 'invalid-request'],
  'a blank source': ['qmcp.inspect.List+  keyword adminvm\0{}', 'invalid-request'],
  'dom0 as the source': ['qmcp.inspect.List+ dom0 keyword adminvm\0{}', 'invalid-request'],
  'an argument nobody asked for': ['qmcp.inspect.List+x mcp-control keyword adminvm\0{}', 'not-found'],
  'a service of somebody else': ['admin.vm.List+ mcp-control keyword adminvm\0{}', 'invalid-request'],
  'an unknown service': ['qmcp.inspect.Nothing+ mcp-control keyword adminvm\0{}', 'not-found'],
  'an unknown principal': ['qmcp.inspect.List+ work keyword adminvm\0{}', 'not-found'],
  'a principal that does not exist': ['qmcp.inspect.List+ nobody keyword adminvm\0{}', 'not-found'],
  'a guest service': ['qmcp.exec.Run+ mcp-control name ai-debian\0{"command":"id"}', 'not-found'],
  'a host service on a qube': ['qmcp.inspect.List+ mcp-control name ai-debian\0{}', 'not-found'],
  'a target service on dom0': ['qmcp.inspect.State+ mcp-control keyword adminvm\0{}', 'not-found'],
  'an empty payload': [HEAD, 'invalid-request'],
  'a list': [`${HEAD}[]`, 'invalid-request'],
  'a duplicate key': [`${HEAD}{"a":1,"a":1}`, 'invalid-request'],
  'an unknown key': [`${HEAD}{"a":1}`, 'invalid-request'],
  'two objects': [`${HEAD}{}{}`, 'invalid-request'],
  'a NaN': [`${HEAD}{"a":NaN}`, 'invalid-request'],
  'a lone surrogate': [`${HEAD}{"a":"\\ud800"}`, 'invalid-request'],
  'ten thousand levels': [`${HEAD}${'['.repeat(10_000)}`, 'invalid-request'],
  'one byte over 64 KiB': [`${HEAD}{${' '.repeat(MAX - 1)}}`, 'invalid-request'],
  'a megabyte': [HEAD + 'x'.repeat(2 ** 20), 'invalid-request'],
};

// ATTACK 14, ATTACK 19
describe('malformed bytes at qmcpd’s socket get a code, change nothing, and are in the audit log', () => {
  for (const [what, [bytes, code]] of Object.entries(CASES)) {
    it(`${what}: ${code}`, async () => {
      const truth = host().truth();
      const before = host().audit().length;
      const reply = await host()
        .bytes(typeof bytes === 'string' ? Buffer.from(bytes) : bytes)
        .catch(() => 'closed');
      if (what === 'a megabyte')
        expect(['closed', '', `{"error":{"code":"${code}"},"ok":false}\n`]).toContain(reply);
      else expect(reply).toBe(`{"error":{"code":"${code}"},"ok":false}\n`);
      const added = host().audit().slice(before);
      expect(added.map((entry) => [entry.kind, entry.code])).toEqual([['refusal', code]]);
      expect(host().truth()).toBe(truth);
    });
  }

  // ATTACK 19
  it('128 connections of one principal that never finish their requests take no connection from another principal, and end as busy', async () => {
    const truth = host().truth();
    const slow = Array.from({ length: 128 }, () => {
      const socket = createConnection({
        path: join(host().sim.root, 'run/qmcp/qmcpd.sock'),
        allowHalfOpen: true,
      });
      socket.write(`${HEAD}{`);
      let said = '';
      socket.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
      return new Promise<string>((resolve, reject) => {
        socket.once('error', reject);
        socket.once('end', () => {
          socket.destroy();
          resolve(said);
        });
      });
    });
    for (let at = 0; at < 20; at++)
      expect(
        JSON.parse(await host().direct('qmcp.inspect.List', '@adminvm', {}, 'lab-control')),
      ).toMatchObject({ ok: true });
    const refused = '{"error":{"code":"busy"},"ok":false}\n';
    expect(await Promise.all(slow)).toEqual(Array(128).fill(refused));
    expect(host().truth()).toBe(truth);
  });

  it('64 callers that never read their reply delay nobody', async () => {
    const watch = 'qmcp.events.Watch+ mcp-control keyword adminvm\0{"seconds":1}';
    const deaf = Array.from({ length: 64 }, () => {
      const socket = createConnection({
        path: join(host().sim.root, 'run/qmcp/qmcpd.sock'),
        allowHalfOpen: true,
      });
      socket.pause();
      socket.on('error', () => {});
      socket.end(watch);
      return socket;
    });
    const calls = await Promise.all(
      Array.from({ length: 20 }, () => host().direct('qmcp.inspect.State', 'vault')),
    );
    // As many calls as the world may have are in progress; every other call is refused, and none hangs.
    for (const reply of calls)
      expect(reply).toMatch(/^\{"error":\{"code":"(busy|not-found)"\},"ok":false\}\n$/);
    await eventually(async () =>
      JSON.parse(await host().direct('qmcp.inspect.List', '@adminvm')),
    ).toMatchObject({ ok: true });
    for (const socket of deaf) socket.destroy();
  });

  it('a request of exactly 64 KiB is read', async () => {
    const reply = await host().bytes(Buffer.from(`${HEAD}{${' '.repeat(MAX - 2)}}`));
    expect(JSON.parse(reply)).toMatchObject({ ok: true });
  });

  it('sizes that are not integers are refused before any look-up', async () => {
    for (const memory of ['1.5', 'true', '-1', '1e30', '"10"', '9223372036854775808', '0']) {
      const payload = `{"name":"ai-one","template":"ai-debian","memory":${memory}}`;
      const { stdout } = await host().call('@adminvm', 'qmcp.spawn.Create', payload);
      expect(stdout).toBe('{"error":{"code":"invalid-request"},"ok":false}\n');
    }
  });
});
