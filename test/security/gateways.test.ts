import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness, roomy } from '../support/harness.js';

let harness: Harness;
const declare = (root: string, name: string, ...keys: string[]) =>
  appendFileSync(
    join(root, 'etc/qmcp/qmcp.toml'),
    `\n[world.ai.gateway.${name}]\n${keys.map((key) => `${key}\n`).join('')}`,
  );
const ask = (target: string, service: string, payload: object = {}) =>
  harness.ask(target, `qmcp.${service}`, payload);
const spawn = (name: string, more: object = {}) =>
  ask('@adminvm', 'spawn.Create', { name, template: 'ai-debian', ...more });
const done = async (answer: ReturnType<typeof ask>) => expect(await answer).toMatchObject({ code: 'ok' });
/** A network qube like the gateway of the demo. */
async function networkQube(name: string): Promise<void> {
  await harness.operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', `name=${name} label=orange`);
  await harness.operator('admin.vm.property.Set', name, 'netvm', 'sys-firewall');
  await harness.operator('admin.vm.property.Set', name, 'provides_network', 'True');
}
const feature = (name: string, key: string, value: string) =>
  harness.operator('admin.vm.feature.Set', name, key, value);

beforeEach(async () => {
  harness = await Harness.start({
    prepare: (root) => {
      roomy(root);
      declare(root, 'sys-ai-alt');
      declare(root, 'sys-ai-open', 'filters = false', 'label = "no rules here"');
    },
  });
  for (const name of ['sys-ai-alt', 'sys-ai-open']) await networkQube(name);
});
afterEach(() => harness.close());

/** A qube of the world on another gateway, where the operator put it. */
async function moved(name: string, gateway: string): Promise<void> {
  await done(spawn(name, { network: 'none' }));
  await harness.operator('admin.vm.property.Set', name, 'netvm', gateway);
}

// INVARIANT egress.gateways-as-declared
describe('a gateway that should apply the rules of its qubes', () => {
  for (const [what, break_] of [
    [
      'its template lacks the feature',
      () => harness.operator('admin.vm.feature.Remove', 'debian-13', 'qubes-firewall'),
    ],
    ['its own feature is empty', () => feature('sys-ai-net', 'qubes-firewall', '')],
    ['its firewall is switched off', () => feature('sys-ai-net', 'service.qubes-firewall', '')],
    ['its template is a Whonix gateway', () => feature('debian-13', 'whonix-gw', '1')],
  ] as const)
    it(`a gateway that cannot apply its rules is refused with one code: ${what}`, async () => {
      for (const name of ['ai-one', 'ai-off']) await done(spawn(name));
      await done(spawn('ai-paused', { start: true }));
      await done(ask('ai-paused', 'spawn.Pause'));
      await done(ask('ai-off', 'networking.Disconnect'));
      await done(spawn('ai-dvm', { class: 'DispVMTemplate' }));
      await break_();
      const before = harness.truth();
      for (const call of [
        () => spawn('ai-two'),
        () => ask('@adminvm', 'spawn.Clone', { source: 'ai-one', name: 'ai-two' }),
        () => ask('@adminvm', 'spawn.Disposable', { template: 'ai-dvm' }),
        () => ask('ai-one', 'spawn.Start'),
        () => ask('ai-paused', 'spawn.Unpause'),
        () => ask('ai-off', 'networking.Reconnect'),
        () => ask('ai-one', 'egress.RulesSet', { rules: [] }),
      ])
        expect(await call()).toEqual({ code: 'gateway-unusable' });
      expect(harness.truth()).toBe(before);
    });

  it('a world goes on without a network and on its other gateways when one cannot be used', async () => {
    await done(spawn('ai-one', { start: true }));
    await moved('ai-alt', 'sys-ai-alt');
    await feature('sys-ai-net', 'qubes-firewall', '');
    await done(ask('ai-alt', 'spawn.Start'));
    await done(ask('ai-alt', 'egress.RulesSet', { rules: [{ to: '10.0.0.1' }] }));
    await done(spawn('ai-alone', { network: 'none', start: true }));
    // A qube can always have less.
    await done(ask('ai-one', 'networking.Disconnect'));
    await done(ask('ai-one', 'spawn.Shutdown'));
    await done(ask('ai-one', 'spawn.Start'));
    const { result } = await ask('@adminvm', 'egress.Status');
    expect(
      result.gateways.map(({ name, usable }: { name: string; usable: boolean }) => [name, usable]),
    ).toEqual([
      ['sys-ai-alt', true],
      ['sys-ai-net', false],
      ['sys-ai-open', true],
    ]);
  });

  it('a gateway that gets the feature back can be used again', async () => {
    await feature('sys-ai-net', 'qubes-firewall', '');
    expect((await spawn('ai-one')).code).toBe('gateway-unusable');
    await feature('sys-ai-net', 'qubes-firewall', '1');
    await done(spawn('ai-one', { start: true }));
  });
});

// INVARIANT egress.gateways-as-declared
// INVARIANT restrictions.inherit
describe('an anonymous world', () => {
  let tor: Harness;
  beforeEach(async () => {
    tor = await Harness.start({
      prepare: (root) => {
        roomy(root);
        const path = join(root, 'etc/qmcp/qmcp.toml');
        const text = readFileSync(path, 'utf8')
          .replace('[world.ai]\n', '[world.ai]\nanonymous = true\n')
          .replace('filters = true\n', 'filters = true\nanonymising = true\n');
        writeFileSync(path, text);
      },
    });
  });
  afterEach(() => tor.close());
  const make = (name: string) => tor.ask('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });

  it('an anonymous world uses no gateway that does not lead to Tor, and one behind a Whonix gateway', async () => {
    const before = tor.truth();
    expect(await make('ai-one')).toEqual({ code: 'gateway-unusable' });
    expect(tor.truth()).toBe(before);
    await tor.operator('admin.vm.feature.Set', 'sys-firewall', 'whonix-gw', '1');
    expect((await make('ai-one')).code).toBe('ok');
    expect((await tor.ask('ai-one', 'qmcp.spawn.Start')).code).toBe('ok');
    const found = tor.sim.reach('ai-one', { host: '198.51.100.7', port: 443, protocol: 'tcp' });
    expect(found).toMatchObject({ reached: true, seen: 'tor' });
  });

  it('every child of an anonymous world carries the tag by which the host hides the time from it', async () => {
    await tor.operator('admin.vm.feature.Set', 'sys-firewall', 'whonix-gw', '1');
    await make('ai-one');
    expect(tor.qube('ai-debian')!.tags).not.toContain('anon-vm');
    expect(tor.qube('ai-one')!.tags).toContain('anon-vm');
  });
});

describe('the answer to new outbound rules', () => {
  const set = async (name: string, rules: object[] = []) =>
    (await ask(name, 'egress.RulesSet', { rules })).result;

  it('the answer to new outbound rules tells when they take effect, as far as dom0 can know', async () => {
    await done(spawn('ai-one'));
    expect(await set('ai-one')).toMatchObject({ takes_effect: 'at-start' });
    await done(ask('ai-one', 'spawn.Start'));
    expect(await set('ai-one')).toMatchObject({ takes_effect: 'soon' });
    await done(ask('ai-one', 'networking.Disconnect'));
    expect(await set('ai-one')).toMatchObject({ takes_effect: 'with-network' });
    await moved('ai-open', 'sys-ai-open');
    expect(await set('ai-open')).toMatchObject({ takes_effect: 'not-promised' });
    await harness.operator('admin.vm.property.Set', 'ai-one', 'netvm', 'sys-firewall');
    expect(await set('ai-one')).toMatchObject({ takes_effect: 'unknown-network' });
  });

  it('the answer to new outbound rules has the rules that hold until then, but no rule of the operator', async () => {
    await done(spawn('ai-one', { start: true }));
    await set('ai-one', [{ to: '10.0.0.1' }]);
    expect(await set('ai-one')).toMatchObject({
      rules: [],
      until_then: [{ to: '10.0.0.1/32' }],
      until_then_by: 'world',
    });
    const secret = 'action=accept dst4=10.0.0.2/32 comment=mine\naction=drop\n';
    await harness.operator('admin.vm.firewall.Set', 'ai-one', '', secret);
    expect(await set('ai-one')).toMatchObject({ until_then: [], until_then_by: 'operator' });
  });

  for (const [version, then] of [
    ['4.1', 'go-on'],
    ['4.2', 'end'],
    ['4.10', 'end'],
    ['', 'go-on'],
    ['new', 'go-on'],
  ])
    it(`the answer to new outbound rules says that open connections ${then} on a gateway with the tools ${version || 'of an unknown version'}`, async () => {
      await done(spawn('ai-one', { start: true }));
      await feature('debian-13', 'qubes-agent-version', version!);
      expect(await set('ai-one')).toMatchObject({ open_connections: then });
    });
});
