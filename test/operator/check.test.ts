import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { packageFile } from '../../sim/root.js';
import { qmcpAdmin } from '../../testing/operator.js';
import { Harness } from '../support/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(() => harness.close());

const at = (path: string) => join(harness.sim.root, path);
const edit = (path: string, change: (text: string) => string) =>
  writeFileSync(at(path), change(readFileSync(at(path), 'utf8')));
interface Problem {
  readonly what: string;
  readonly where: string;
  readonly fix: string;
}
async function found(): Promise<Problem[]> {
  const { code, out, err } = await qmcpAdmin(harness.sim.root, 'check', '--json');
  expect(err).toBe('');
  const all = JSON.parse(out) as Problem[];
  expect(code).toBe(all.length === 0 ? 0 : 1);
  return all;
}
const spawn = (name: string) => harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });

describe('qmcp-admin check', () => {
  it('qmcp-admin check reports nothing on a host without faults', async () => {
    await spawn('ai-one');
    expect(await found()).toEqual([]);
    expect((await qmcpAdmin(harness.sim.root, 'check')).out).toContain('No problem was found');
  });

  it('qmcp-admin check accepts a preset’s policy, which only denies, and reports one that allows', async () => {
    const presets = readdirSync(packageFile('config/generated')).filter((file) => file.endsWith('.policy'));
    expect(presets.length).toBeGreaterThan(3);
    const home = 'etc/qubes/policy.d';
    for (const file of presets)
      copyFileSync(packageFile(`config/generated/${file}`), at(`${home}/29-qmcp-${file}`));
    expect(await found()).toEqual([]);
    const gone = ['qmcp.devices.Attach', 'qmcp.spawn.Clone'];
    expect(await qmcpAdmin(harness.sim.root, 'contract', 'remove', ...gone, '--yes')).toMatchObject({
      code: 0,
    });
    expect(await qmcpAdmin(harness.sim.root, 'policy', 'install', '--yes')).toMatchObject({
      code: 0,
      err: '',
    });
    expect(await found()).toEqual([]);
    edit(`${home}/29-qmcp-read-only.policy`, (text) => text.replaceAll(' deny', ' allow'));
    expect((await found()).map(({ where }) => where)).toContainEqual(
      expect.stringMatching(/29-qmcp-read-only\.policy:\d+$/),
    );
  });

  for (const [what, break_, problem] of [
    [
      'a misspelt key, with its line and the name that was meant',
      () => edit('etc/qmcp/qmcp.toml', (text) => text.replace('birth_gateway =', 'birth_gatewai =')),
      { where: /^qmcp\.toml:10 \(did you mean birth_gateway\?\)$/, what: /expected one of prefix/ },
    ],
    [
      'a contract that cannot be used',
      () => edit('etc/qmcp/contracts/qmcp.spawn.Kill.json', (text) => text.replace('"power"', '"shell"')),
      { where: /qmcp\.spawn\.Kill\.json/, what: /unknown step 'shell'/ },
    ],
    [
      'a policy that is not what the contracts make',
      () => rmSync(at('etc/qmcp/contracts/qmcp.spawn.Kill.json')),
      { where: /30-qmcp\.policy/, fix: /policy install/ },
    ],
    [
      'a file that decides before ours',
      () => writeFileSync(at('etc/qubes/policy.d/10-mine.policy'), '* * @tag:ai-full @adminvm allow\n'),
      { where: /10-mine\.policy:1$/, what: /reaches dom0 to boot, and for nothing else/ },
    ],
    [
      'a file name that denies every call of the host',
      () => writeFileSync(at('etc/qubes/policy.d/99-Mine.policy'), ''),
      { where: /99-Mine/, what: /denies every call/ },
    ],
    [
      'a service without its link',
      () => rmSync(at('etc/qubes-rpc/qmcp.spawn.Kill')),
      { where: /qmcp\.spawn\.Kill/, fix: /contract install \/etc\/qmcp\/contracts\/qmcp\.spawn\.Kill\.json/ },
    ],
    [
      'a frozen world',
      () => {
        mkdirSync(at('var/lib/qmcp/frozen'), { recursive: true });
        writeFileSync(at('var/lib/qmcp/frozen/ai'), '');
      },
      { what: /^frozen$/, fix: /thaw ai/ },
    ],
    [
      'what could not be undone',
      () =>
        writeFileSync(
          at('var/lib/qmcp/journal/00.intent'),
          '{"qube":"ai-lost","undo":[["halt"]],"finish":[],"unborn":["x","y"],"when":1795000000}',
        ),
      { where: /^ai-lost$/, what: /not undone since 2026/ },
    ],
    [
      'a changed audit log',
      async () => {
        await spawn('ai-one');
        edit('var/log/qmcp/audit.log', (text) => text.replace('ai-one', 'ai-two'));
      },
      { where: /audit\.log:\d+$/, fix: /audit verify/ },
    ],
    [
      'a principal of which nothing is born tagged',
      () => harness.operator('admin.vm.feature.Remove', 'mcp-control', 'tag-created-vm-with'),
      { where: /^mcp-control$/, fix: /qvm-features mcp-control tag-created-vm-with 'ai-managed'/ },
    ],
    [
      'a principal inside its own world',
      () => harness.operator('admin.vm.tag.Set', 'mcp-control', 'ai-managed'),
      { where: /^mcp-control$/, fix: /qvm-tags mcp-control del/ },
    ],
    [
      'a gateway that is not there',
      () => edit('etc/qmcp/qmcp.toml', (text) => text.replaceAll('sys-ai-net', 'sys-gone')),
      { where: /^sys-gone$/, what: /does not exist/ },
    ],
    [
      'a gateway that does not apply the rules of its qubes',
      () => harness.operator('admin.vm.feature.Remove', 'debian-13', 'qubes-firewall'),
      { where: /^sys-ai-net$/, what: /cannot be used: neither it nor its template has/ },
    ],
    [
      'a qube on a network outside',
      () => harness.operator('admin.vm.tag.Set', 'work', 'ai-managed'),
      { where: /^work$/, what: /is on the network of sys-firewall/ },
    ],
    [
      'a child with a way out',
      async () => {
        await spawn('ai-one');
        await harness.operator('admin.vm.property.Set', 'ai-one', 'default_dispvm', 'default-dvm');
      },
      { where: /^ai-one$/, what: /default_dispvm, a way out/ },
    ],
    [
      'a removed qube that is kept too long',
      async () => {
        await spawn('ai-one');
        await harness.ask('ai-one', 'qmcp.spawn.Remove');
        await harness.operator('admin.vm.feature.Set', 'ai-one', 'qmcp-entombed', '1000000000');
      },
      { where: /^ai-one$/, fix: /reap/ },
    ],
  ] as const)
    it(`qmcp-admin check finds ${what}`, async () => {
      await break_();
      const hits = (await found()).filter((one) =>
        Object.entries(problem).every(([key, pattern]) =>
          (pattern as RegExp).test(one[key as keyof Problem]),
        ),
      );
      expect(hits).toHaveLength(1);
    });
});
