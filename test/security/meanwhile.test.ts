/** Actions of the operator, or of the agent itself, during a call: the state at its end is not that at its beginning. */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { deviceOf } from '../../sim/host/populate.js';
import { qmcpAdmin } from '../../testing/operator.js';
import { configure, Harness, roomy } from '../support/harness.js';
import { holdFirst, replaceCall } from '../support/interference.js';
import { Listener } from '../support/listener.js';
import { eventually, until } from '../support/waiting.js';

let harness: Harness;
afterEach(() => harness.close());

const spawn = (name: string, more: object = {}) =>
  harness.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', ...more });
const disposable = (template: string) => harness.ask('@adminvm', 'qmcp.spawn.Disposable', { template });
const give = async (name: string, ...tags: string[]) => {
  for (const tag of tags) await harness.operator('admin.vm.tag.Set', name, tag);
};
const qubes = async () =>
  (await harness.ask('@adminvm', 'qmcp.inspect.List')).result.qubes.map(({ name }: { name: string }) => name);

// INVARIANT tiers.no-escalation
// INVARIANT tags.operator-only
describe('the operator takes a qube out', () => {
  it('a qube that the operator took out stays out, although its agent removes and restores it all the time', async () => {
    for (const requests of [0, 7, 20]) {
      harness = await Harness.start();
      await spawn('ai-one');
      let [going, rounds, asked] = [true, 0, 0];
      const { host } = harness.sim;
      const original = host.call.bind(host);
      host.call = (request) => {
        asked += 1;
        return original(request);
      };
      const agent = (async () => {
        while (going) {
          await harness.ask('ai-one', 'qmcp.spawn.Remove');
          await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-one' });
          rounds += 1;
        }
      })();
      // At each of the requests that qmcpd sends to qubesd for that.
      await until(() => asked >= requests);
      const { code } = await qmcpAdmin(harness.sim.root, 'expel', 'ai-one', '--yes');
      const then = rounds;
      await until(() => rounds >= then + 3);
      going = false;
      await agent;
      await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-one' });
      expect(code).toBe(0);
      expect(harness.qube('ai-one')!.tags.filter((tag) => /^ai-(managed|exec|net|full)$/.test(tag))).toEqual(
        [],
      );
      expect(await qubes()).not.toContain('ai-one');
      if (requests !== 20) await harness.close();
    }
  });

  it('a removed qube that the operator took out stays out, and needs no restore first', async () => {
    harness = await Harness.start();
    await spawn('ai-one');
    await harness.ask('ai-one', 'qmcp.spawn.Remove');
    expect((await qmcpAdmin(harness.sim.root, 'expel', 'ai-one', '--yes')).code).toBe(0);
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Restore', { qube: 'ai-one' })).code).toBe('not-found');
    expect(await qubes()).not.toContain('ai-one');
  });
});

// INVARIANT tags.operator-only
describe('the operator changes a qube while qmcpd removes a stray tag from it', () => {
  const make = () => harness.operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', 'name=mine label=red');

  /** Gives `mine` a stray tag. `between` happens after qmcpd has looked at it and before the tag is removed. */
  async function stray(between: () => Promise<unknown>): Promise<void> {
    harness = await Harness.start();
    await make();
    let removals = 0;
    const restore = replaceCall(harness.sim, async (request, original) => {
      if (!Buffer.from(request).toString('latin1').startsWith('admin.vm.tag.Remove+ai-exec dom0 '))
        return original(request);
      restore();
      await between();
      removals += 1;
      return original(request);
    });
    await give('mine', 'ai-exec');
    await until(() => removals === 1);
    // It hears of what happens next at once: no call waits until it follows the events again.
    await give('personal', 'ai-managed');
    expect((await harness.ask('personal', 'qmcp.inspect.State')).code).toBe('ok');
    expect(harness.sim.qmcpd.stderr).not.toContain('trying again');
  }

  it('qmcpd goes on when the qube is removed at that moment', async () => {
    await stray(() => harness.operator('admin.vm.Remove', 'mine'));
    expect(harness.sim.host.find('mine')).toBeUndefined();
  });

  it('qmcpd takes no tag from another qube that got its name at that moment', async () => {
    await stray(async () => {
      await harness.operator('admin.vm.Remove', 'mine');
      await make();
      await give('mine', 'ai-managed', 'ai-exec');
    });
    expect((await harness.ask('mine', 'qmcp.inspect.State')).code).toBe('ok');
    expect(harness.qube('mine')!.tags).toEqual(expect.arrayContaining(['ai-managed', 'ai-exec']));
  });
});

// INVARIANT remove.is-a-tombstone
describe('a template is removed during a birth', () => {
  it('a template that is removed during the birth of its disposable has no disposable, and none to restore', async () => {
    harness = await Harness.start({
      prepare: (root) => {
        roomy(root);
        configure(root, { birth_ceiling: '"exec"' });
      },
    });
    await harness.operator('admin.vm.property.Set', 'default-dvm', 'netvm', 'sys-ai-net');
    await give('default-dvm', 'ai-managed', 'ai-full');
    const held = holdFirst(harness, 'admin.vm.CreateDisposable');
    const { used } = await harness.budget('running');
    const births = [disposable('default-dvm')];
    await held.arrived;
    births.push(disposable('default-dvm')); // it waits for the first to have a name
    await until(async () => (await harness.budget('running')).used === used + 2);
    expect((await harness.ask('default-dvm', 'qmcp.spawn.Remove')).code).toBe('ok');
    held.release();
    expect((await Promise.all(births)).map(({ code }) => code)).toEqual(['failed', 'failed']);
    expect(harness.disposable()).toBeUndefined();
  });
});

// INVARIANT crash.no-residue
describe('the operator makes a disposable', () => {
  it('a disposable that the operator makes of a world’s template is not the world’s, whatever its name, also after a new scan', async () => {
    harness = await Harness.start();
    await spawn('ai-dvm', { class: 'DispVMTemplate' });
    await spawn('ai-one', { start: true });
    await harness.operator('admin.vm.Create.DispVM', 'dom0', 'ai-dvm', 'name=secret label=red');
    await harness.operator('admin.vm.Start', 'secret');
    const { host } = harness.sim;
    host.plug(deviceOf(host.domain('secret'), { class: 'block', port: 'sdq', name: 'a stick' }));
    const attach = { backend: 'secret', device: 'sdq', class: 'block' };
    for (const again of [async () => {}, () => harness.sim.qmcpd.restart()]) {
      await again();
      expect(await qubes()).not.toContain('secret');
      expect((await harness.ask('ai-one', 'qmcp.devices.Attach', attach)).code).toBe('not-found');
      expect(await harness.direct('qmcp.inspect.State', 'secret')).toContain('not-found');
    }
  });
});

// INVARIANT crash.no-residue
describe('a birth does not finish', () => {
  it('a qube whose birth did not finish belongs to nobody, although it has the umbrella', async () => {
    harness = await Harness.start();
    const request = 'admin.vm.Create.AppVM+debian-13 mcp-control name dom0\0name=ai-half label=red';
    await harness.sim.host.call(Buffer.from(request));
    expect(harness.qube('ai-half')!.tags).toEqual(
      expect.arrayContaining(['ai-managed', 'created-by-mcp-control']),
    );
    const noticed = async () => (await Listener.of(harness)).caughtUp();
    for (const again of [noticed, () => harness.sim.qmcpd.restart()]) {
      await again();
      expect(await qubes()).not.toContain('ai-half');
      expect(await harness.direct('qmcp.inspect.State', 'ai-half')).toContain('not-found');
    }
  });
});

// INVARIANT birth.egress-inherited
// INVARIANT egress.within-ceiling
// INVARIANT restrictions.inherit
describe('the operator takes authority away', () => {
  const edit = (change: (text: string) => string) => {
    const path = `${harness.sim.root}/etc/qmcp/qmcp.toml`;
    writeFileSync(path, change(readFileSync(path, 'utf8')));
  };

  it.each([
    ['a ceiling', (text: string) => text.replace('to = "*"', 'to = "example.com"')],
    ['a principal’s place', (text: string) => text.replace('principal.mcp-control]', 'principal.mcp-other]')],
  ])('authority that the operator takes away is gone for a waiting call too: %s', async (_what, change) => {
    harness = await Harness.start();
    await spawn('ai-one', { start: true });
    const held = holdFirst(harness, 'admin.vm.Shutdown');
    const first = harness.ask('ai-one', 'qmcp.spawn.Shutdown');
    await held.arrived;
    const second = harness.ask('ai-one', 'qmcp.egress.RulesSet', { rules: [{ to: '*' }] });
    await harness.underWay(2);
    const before = harness.qube('ai-one')!.firewall;
    const told = await harness.direct('qmcp.egress.Status', '@adminvm');
    edit(change);
    await eventually(() => harness.direct('qmcp.egress.Status', '@adminvm')).not.toBe(told);
    held.release();
    await first;
    expect((await second).code).toBe('busy');
    expect(harness.qube('ai-one')!.firewall).toEqual(before);
  });

  it('what the operator adds to another world, a gateway, a principal or the world itself, ends no watch of this world', async () => {
    harness = await Harness.start();
    const { root } = harness.sim;
    const listener = await Listener.of(harness);
    const lab = (more: string) =>
      `\n[world.lab]\nprefix = "lab-"\n${more}[world.lab.budget]\ncalls_per_minute = 100000\n[world.lab.principal.personal]\nplugins = ["inspect"]\n`;
    const shipped = readFileSync(`${root}/etc/qmcp/qmcp.toml`, 'utf8');
    for (const [added, principal] of [
      [lab(''), 'personal'],
      [lab('guarded = ["work"]\n[world.lab.gateway.sys-firewall]\n'), 'personal'],
      [`${lab('')}[world.lab.principal.untrusted]\nplugins = ["inspect"]\n`, 'untrusted'],
    ] as const) {
      edit(() => shipped + added.replace('prefix = "lab-"', `prefix = "p${added.length}-"`));
      await eventually(() => harness.direct('qmcp.inspect.List', '@adminvm', {}, principal)).toContain(
        `"p${added.length}-"`,
      );
      expect(await listener.caughtUp()).toEqual([]);
    }
    await listener.leave();
  });

  it('authority that the operator takes away changes nothing in the calls of another world', async () => {
    const lab =
      '\n[world.lab]\nprefix = "lab-"\n[world.lab.budget]\ncalls_per_minute = 100000\n' +
      '[world.lab.principal.personal]\nplugins = ["inspect"]\n';
    harness = await Harness.start({
      prepare: (root) => {
        roomy(root);
        appendFileSync(`${root}/etc/qmcp/qmcp.toml`, lab);
      },
    });
    await spawn('ai-one', { start: true });
    const held = holdFirst(harness, 'admin.vm.Shutdown');
    const first = harness.ask('ai-one', 'qmcp.spawn.Shutdown');
    await held.arrived;
    const second = harness.ask('ai-one', 'qmcp.egress.RulesSet', { rules: [{ to: '*' }] });
    await harness.underWay(2);
    edit((text) => text.replace('prefix = "lab-"', 'prefix = "other-"'));
    await eventually(() => harness.direct('qmcp.inspect.List', '@adminvm', {}, 'personal')).toContain(
      'other-',
    );
    held.release();
    expect([(await first).code, (await second).code]).toEqual(['ok', 'ok']);
  });

  it('a restriction of the operator holds for copies of a locked qube, however its rules are written', async () => {
    const only = 'action=accept dsthost=git.example.com proto=tcp dstports=443-443';
    for (const rules of [
      `${only}\n`,
      `${only} comment=git\naction=drop\n`,
      `action=drop dst4=10.0.0.0/8\n${only}\naction=drop\n`,
      'action=accept\n',
    ]) {
      harness = await Harness.start();
      await spawn('ai-one');
      await give('ai-one', 'ai-egress-lock');
      await harness.operator('admin.vm.firewall.Set', 'ai-one', '', rules);
      const clone = await harness.ask('@adminvm', 'qmcp.spawn.Clone', { source: 'ai-one', name: 'ai-two' });
      expect(clone.code).toBe('ok');
      expect(harness.qube('ai-two')!.firewall).toEqual(['action=drop']);
      if (rules !== 'action=accept\n') await harness.close();
    }
  });

  it.each([
    ['its rules', ['admin.vm.firewall.Set', 'ai-one', '', 'action=drop\n']],
    ['its network', ['admin.vm.property.Set', 'ai-one', 'netvm', '']],
    ['its outbound rules, by a lock', ['admin.vm.tag.Set', 'ai-one', 'ai-egress-lock']],
    ['its tier', ['admin.vm.tag.Remove', 'ai-one', 'ai-full']],
    ['its whole use, by a guard', ['admin.vm.tag.Set', 'ai-one', 'ai-guard']],
    ['its place in the world', ['admin.vm.tag.Remove', 'ai-one', 'ai-managed']],
  ] as const)(
    'a clone is not made of a qube that loses something while it is copied: %s',
    async (_what, words) => {
      harness = await Harness.start();
      await spawn('ai-one');
      const held = holdFirst(harness, 'admin.vm.volume.CloneTo');
      const clone = harness.ask('@adminvm', 'qmcp.spawn.Clone', { source: 'ai-one', name: 'ai-two' });
      await held.arrived;
      const [method, dest, argument, payload] = words;
      await harness.operator(method, dest, argument, payload ?? '');
      held.release();
      expect((await clone).code).toBe('busy');
      expect(harness.qube('ai-two')).toBeUndefined();
    },
  );
});
