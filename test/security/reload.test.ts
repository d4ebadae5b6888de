import { chmodSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { configure, Harness } from '../support/harness.js';
import { eventually } from '../support/waiting.js';

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(() => harness.close());

const file = (path = 'etc/qmcp/qmcp.toml') => join(harness.sim.root, path);
/** qmcpd reads its files at a call, if a second has passed since it did: the budget shows the new limit then. */
const limit = async () => (await harness.budget('qubes')).limit;
const spawn = (name: string) => harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });

// ATTACK 16
describe('qmcp.toml changes while qmcpd runs', () => {
  it('a changed qmcp.toml is read again, and what it restricts is restricted from then on', async () => {
    expect((await spawn('ai-one')).code).toBe('ok');
    configure(harness.sim.root, { qubes: 1, birth_ceiling: '"read"' });
    await eventually(limit).toBe(1);
    expect((await spawn('ai-two')).code).toBe('over-budget');
    configure(harness.sim.root, { qubes: 2 });
    await eventually(limit).toBe(2);
    expect((await spawn('ai-two')).code).toBe('ok');
    expect(harness.qube('ai-two')!.tags).not.toContain('ai-full');
  });

  it('a new world in qmcp.toml makes its qubes visible', async () => {
    const text = readFileSync(file(), 'utf8');
    writeFileSync(
      file(),
      `${text}\n[world.lab]\nprefix = "lab-"\n[world.lab.principal.work]\nplugins = ["inspect"]\n`,
    );
    await harness.operator('admin.vm.tag.Set', 'vault', 'lab-managed');
    await eventually(async () =>
      JSON.parse(await harness.direct('qmcp.inspect.List', '@adminvm', {}, 'work')),
    ).toMatchObject({ ok: true, result: { qubes: [{ name: 'vault' }] } });
    expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain('vault');
  });

  for (const [what, spoil] of [
    ['is cut off in the middle', () => writeFileSync(file(), readFileSync(file(), 'utf8').slice(0, 300))],
    [
      'has a key nobody knows',
      () => writeFileSync(file(), `${readFileSync(file(), 'utf8')}\n[world.ai.extra]\n`),
    ],
    ['is empty', () => writeFileSync(file(), '')],
    ['begins with a byte order mark', () => writeFileSync(file(), `\ufeff${readFileSync(file(), 'utf8')}`)],
    ['is gone', () => rmSync(file())],
    [
      'is a link to nowhere',
      () => {
        rmSync(file());
        symlinkSync('/nowhere', file());
      },
    ],
    [
      'is a link to what never ends',
      () => {
        rmSync(file());
        symlinkSync('/dev/zero', file());
      },
    ],
    ['has more lines than anybody wrote', () => writeFileSync(file(), 'x = 1\n'.repeat(200_000))],
  ] as const)
    it(`qmcp.toml that ${what} changes nothing, and qmcpd says so`, async () => {
      const before = await limit();
      spoil();
      await eventually(async () => {
        expect(await limit()).toBe(before);
        return harness.sim.qmcpd.stderr;
      }).toContain('NOT IN FORCE, the worlds stay as they were');
      expect((await spawn('ai-one')).code).toBe('ok');
      expect(harness.qube('ai-one')!.tags).toContain('ai-full');
    });

  it('qmcp.toml with carriage returns is valid', async () => {
    writeFileSync(
      file(),
      readFileSync(file(), 'utf8').replaceAll('\n', '\r\n').replace('qubes = 10000', 'qubes = 0'),
    );
    await eventually(limit).toBe(0);
    expect((await spawn('ai-one')).code).toBe('over-budget');
  });
});

// ATTACK 24
describe('a contract changes while qmcpd runs', () => {
  const start = 'etc/qmcp/contracts/qmcp.spawn.Start.json';

  it('a contract that is taken away takes its service away, and one that returns brings it back', async () => {
    await spawn('ai-one');
    const started = async () => (await harness.ask('ai-one', 'qmcp.spawn.Start')).code;
    renameSync(file(start), file('etc/qmcp/kept'));
    await eventually(started).toBe('not-found');
    renameSync(file('etc/qmcp/kept'), file(start));
    await eventually(started).toBe('ok');
  });

  it('a contract that becomes unusable is out of force, and the catalog says why', async () => {
    await spawn('ai-one');
    writeFileSync(file(start), readFileSync(file(start), 'utf8').replace('"power"', '"shell"'));
    chmodSync(file(start), 0o600);
    await eventually(async () => (await harness.ask('ai-one', 'qmcp.spawn.Start')).code).toBe('not-found');
    expect((await harness.ask('@adminvm', 'qmcp.Catalog')).result.unusable['qmcp.spawn.Start']).toContain(
      'shell',
    );
  });
});
