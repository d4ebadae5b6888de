import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configure, Harness, roomy, sharedHarness } from '../support/harness.js';
import { eventually } from '../support/waiting.js';

const NOT_FOUND = '{"error":{"code":"not-found"},"ok":false}\n';
const host = sharedHarness();

const TARGET_SERVICES = [
  'qmcp.inspect.State',
  'qmcp.spawn.Start',
  'qmcp.spawn.Shutdown',
  'qmcp.spawn.Remove',
];
const HIDDEN = ['vault', 'work', 'sys-net', 'debian-13'];
const NEVER_AN_OBJECT = ['mcp-control', 'sys-ai-net', 'dom0'];

// INVARIANT scope.existence-hidden
// INVARIANT birth.namespace
// INVARIANT remove.is-a-tombstone
describe('a qube outside the world cannot be told from one that does not exist', () => {
  for (const service of TARGET_SERVICES) {
    it(`${service}, as qrexec answers it`, async () => {
      const before = host().truth();
      const missing = await host().call('no-such-qube', service);
      for (const name of [...HIDDEN, ...NEVER_AN_OBJECT.filter((n) => n !== 'mcp-control')]) {
        expect(await host().call(name, service)).toEqual(missing);
      }
      expect(missing).toEqual({ exit: 126, stdout: '' });
      expect(host().truth()).toBe(before);
    });

    it(`${service}, as dom0 answers it should the policy ever let it through`, async () => {
      const before = host().truth();
      for (const name of ['no-such-qube', ...HIDDEN, ...NEVER_AN_OBJECT]) {
        expect(await host().direct(service, name)).toBe(NOT_FOUND);
      }
      expect(host().truth()).toBe(before);
    });
  }

  it('qmcp.spawn.Create, for its template', async () => {
    const before = host().truth();
    for (const template of ['no-such-template', ...HIDDEN, ...NEVER_AN_OBJECT]) {
      const { stdout } = await host().call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template });
      expect(stdout).toBe(NOT_FOUND);
    }
    expect(host().truth()).toBe(before);
  });

  it('a qube that carries the mark of a removed qube is refused like a missing one, whatever other tags it has', async () => {
    for (const tag of ['ai-managed', 'ai-full', 'ai-tombstone'])
      await host().operator('admin.vm.tag.Set', 'work', tag);
    try {
      for (const service of TARGET_SERVICES)
        expect(await host().direct(service, 'work')).toBe(await host().direct(service, 'no-such-qube'));
      expect((await host().call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain('work');
    } finally {
      for (const tag of ['ai-managed', 'ai-full', 'ai-tombstone'])
        await host().operator('admin.vm.tag.Remove', 'work', tag);
    }
  });

  it('a name outside the prefix is refused by its shape, whether it is taken or free', async () => {
    const before = host().truth();
    for (const name of ['vault', 'free-name', 'dom0', 'default', 'ai-', 'ai-x-dm']) {
      const { stdout } = await host().call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });
      expect(stdout).toBe('{"error":{"code":"name-not-allowed"},"ok":false}\n');
    }
    expect(host().truth()).toBe(before);
  });

  it('a name with the prefix that no call may act on is answered as a taken one, whether or not a qube has it', async () => {
    const other = await Harness.start({
      prepare: (root) => {
        roomy(root);
        configure(root, { guarded: '["ai-guarded", "ai-guarded-later"]' });
        appendFileSync(
          join(root, 'etc/qmcp/qmcp.toml'),
          '\n[world.lab]\nprefix = "lab-"\n[world.lab.gateway.ai-lab-net]\n[world.lab.gateway.ai-lab-net-later]\n' +
            '[world.lab.principal.ai-lab-control]\nplugins = ["inspect"]\n',
        );
      },
    });
    try {
      for (const name of ['ai-hidden', 'ai-guarded', 'ai-lab-net', 'ai-lab-control'])
        await other.operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', `name=${name} label=red`);
      // After their answers, qmcpd has looked around for both worlds.
      for (const principal of ['mcp-control', 'ai-lab-control'])
        await other.direct('qmcp.inspect.List', '@adminvm', {}, principal);
      const before = other.truth();
      const { host } = other.sim;
      const asked: string[] = [];
      const original = host.call.bind(host);
      host.call = (request) => {
        asked.push(Buffer.from(request).toString('latin1').split(' ')[0]!);
        return original(request);
      };
      const answers = new Map<string, string>();
      for (const name of [
        'ai-hidden',
        'ai-guarded',
        'ai-guarded-later',
        'ai-lab-net',
        'ai-lab-net-later',
        'ai-lab-control',
      ])
        for (const [service, source] of [
          ['qmcp.spawn.Create', { template: 'ai-debian' }],
          ['qmcp.spawn.Clone', { source: 'ai-debian' }],
        ] as const) {
          asked.length = 0;
          const { stdout } = await other.call('@adminvm', service, { name, ...source });
          // Two calls that qmcpd makes at once arrive in any order.
          answers.set(`${service} ${name}`, `${stdout}${asked.sort().join(' ')}`);
        }
      for (const service of ['qmcp.spawn.Create', 'qmcp.spawn.Clone'])
        for (const [call, answer] of answers)
          if (call.startsWith(`${service} `))
            expect([call, answer]).toEqual([call, answers.get(`${service} ai-hidden`)]);
      expect(answers.get('qmcp.spawn.Create ai-hidden')).toContain('"name-taken"');
      host.call = original;
      expect(other.truth()).toBe(before);
    } finally {
      await other.close();
    }
  });

  // ATTACK 1
  it('a taken name with the prefix gets one answer, whether its qube is hidden, visible or removed', async () => {
    await host().operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', 'name=ai-hidden label=red');
    await host().call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-gone', template: 'ai-debian' });
    await host().call('ai-gone', 'qmcp.spawn.Remove');
    const before = host().truth();
    try {
      for (const [service, source] of [
        ['qmcp.spawn.Create', { template: 'ai-debian' }],
        ['qmcp.spawn.Clone', { source: 'ai-debian' }],
      ] as const)
        for (const name of ['ai-hidden', 'ai-gone', 'ai-debian']) {
          const { stdout } = await host().call('@adminvm', service, { name, ...source });
          // A template cannot be cloned: that is checked first, for every name alike.
          const expected = service === 'qmcp.spawn.Create' ? 'name-taken' : 'not-permitted';
          expect(stdout).toBe(`{"error":{"code":"${expected}"},"ok":false}\n`);
        }
      expect(host().truth()).toBe(before);
    } finally {
      for (const name of ['ai-hidden', 'ai-gone']) await host().operator('admin.vm.Remove', name);
    }
  });

  it('every refusal is one line in the audit log, and none is an intent', async () => {
    const before = host().audit().length;
    await host().direct('qmcp.spawn.Start', 'vault');
    await host().direct('qmcp.spawn.Start', 'no-such-qube');
    const added = host().audit().slice(before);
    expect(added.map(({ kind, code }) => [kind, code])).toEqual([
      ['refusal', 'not-found'],
      ['refusal', 'not-found'],
    ]);
  });

  it('the audit log has the name that a call asked for, also when no agent may use such a name', async () => {
    const before = host().audit().length;
    for (const name of ['vault', 'x'.repeat(31)])
      await host().direct('qmcp.spawn.Create', '@adminvm', { name, template: 'ai-debian' });
    const added = host().audit().slice(before);
    expect(added.map(({ code, names }) => [code, names])).toEqual([
      ['name-not-allowed', ['ai-debian', 'vault']],
      ['name-not-allowed', ['ai-debian', 'x'.repeat(31)]],
    ]);
  });
});

// INVARIANT scope.values-redacted
describe('what a reply says of other qubes', () => {
  it('a list contains the world’s qubes and no other', async () => {
    const { stdout } = await host().call('@adminvm', 'qmcp.inspect.List');
    expect(JSON.parse(stdout)).toEqual({
      ok: true,
      result: { prefix: 'ai-', qubes: [{ name: 'ai-debian', class: 'TemplateVM', state: 'halted' }] },
    });
  });

  it('a reply about a qube of the operator does not name its outside network or template', async () => {
    await host().operator('admin.vm.tag.Set', 'work', 'ai-managed');
    try {
      await eventually(() => host().ask('work', 'qmcp.inspect.State')).toMatchObject({ code: 'ok' });
      const { stdout } = await host().call('work', 'qmcp.inspect.State');
      const { result } = JSON.parse(stdout) as { result: Record<string, unknown> };
      expect([result.template, result.network]).toEqual(['<out-of-scope>', '<out-of-scope>']);
      expect(stdout).not.toMatch(/debian-13|sys-firewall/);
    } finally {
      await host().operator('admin.vm.tag.Remove', 'work', 'ai-managed');
    }
  });
});
