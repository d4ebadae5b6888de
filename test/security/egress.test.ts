import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness, roomy } from '../support/harness.js';

/** A world whose ceiling has a few destinations. */
const narrow = (root: string): void => {
  roomy(root);
  appendFileSync(
    join(root, 'etc/qmcp/qmcp.toml'),
    `${[
      ['"*.example.org"', 'tcp', '443'],
      ['"10.1.0.0/16"', 'tcp', '1-1024'],
      ['"2001:db8::/32"', 'udp', '53'],
    ]
      .map(
        ([to, protocol, ports]) =>
          `\n[[world.ai.egress]]\nto = ${to}\nprotocol = "${protocol}"\nports = "${ports}"\n`,
      )
      .join('')}\n[[world.ai.egress]]\nto = "dns"\n`,
  );
};

let harness: Harness;
const take = async (prepare = narrow) => {
  harness = await Harness.start({
    prepare: (root) => {
      prepare(root);
      if (prepare === narrow) everywhereOff(root);
    },
  });
  await harness.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian' });
};
afterEach(() => harness.close());

/** Removes the shipped `to = "*"`. */
function everywhereOff(root: string): void {
  const path = join(root, 'etc/qmcp/qmcp.toml');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('[[world.ai.egress]]\nto = "*"\n', ''));
}

const set = (rules: unknown[]) => harness.ask('ai-one', 'qmcp.egress.RulesSet', { rules });

// INVARIANT egress.within-ceiling
// INVARIANT restrictions.inherit
describe('outbound rules', () => {
  beforeEach(() => take());

  it('outbound rules within the ceiling are set, end in a drop, and are stored in qubesd as given', async () => {
    const rules = [
      { to: 'www.example.org', protocol: 'tcp', ports: '443' },
      { to: '10.1.2.0/24', protocol: 'tcp', ports: '80-90' },
      { to: '10.1.2.3', protocol: 'tcp', ports: '22' },
      { to: '2001:db8::1', protocol: 'udp', ports: '53' },
      { to: 'dns' },
    ];
    expect((await set(rules)).code).toBe('ok');
    expect(harness.qube('ai-one')!.firewall).toEqual([
      'action=accept dsthost=www.example.org proto=tcp dstports=443-443',
      'action=accept dst4=10.1.2.0/24 proto=tcp dstports=80-90',
      'action=accept dst4=10.1.2.3/32 proto=tcp dstports=22-22',
      'action=accept dst6=2001:db8::1/128 proto=udp dstports=53-53',
      'action=accept specialtarget=dns',
      'action=drop',
    ]);
    expect((await harness.ask('ai-one', 'qmcp.egress.RulesGet')).result.rules.length).toBe(5);
  });

  for (const [what, rule] of [
    ['everywhere', { to: '*' }],
    ['a wider network', { to: '10.0.0.0/8', protocol: 'tcp', ports: '80' }],
    ['another network', { to: '10.2.0.1', protocol: 'tcp', ports: '80' }],
    ['every protocol', { to: '10.1.0.1' }],
    ['every port', { to: '10.1.0.1', protocol: 'tcp' }],
    ['ports beyond', { to: '10.1.0.1', protocol: 'tcp', ports: '1024-1025' }],
    ['another protocol', { to: '10.1.0.1', protocol: 'udp', ports: '80' }],
    ['the bare domain', { to: 'example.org', protocol: 'tcp', ports: '443' }],
    ['a look-alike', { to: 'wwwexample.org', protocol: 'tcp', ports: '443' }],
    ['a longer one', { to: 'www.example.org.evil.com', protocol: 'tcp', ports: '443' }],
    ['IPv4 in IPv6', { to: '::ffff:10.1.0.1', protocol: 'tcp', ports: '80' }],
  ] as const)
    it(`outbound rules beyond the ceiling are all refused, and the refusal names the rule: ${what}`, async () => {
      const before = harness.truth();
      const good = { to: 'www.example.org', protocol: 'tcp', ports: '443' };
      expect(await set([good, rule])).toEqual({ code: 'not-permitted', data: { rule } });
      expect(harness.truth()).toBe(before);
    });

  for (const rule of [
    { to: 'www.example.org dst4=0.0.0.0/0' },
    { to: 'a\naction=accept' },
    { to: '*.example.org', protocol: 'tcp', ports: '443' },
    { to: 'WWW.example.org' },
    // Python takes everything after the % for an address's zone, even a line feed.
    { to: '2001:db8::%eth0', protocol: 'udp', ports: '53' },
    { to: '2001:db8::%x\naction=accept dsthost=evil.example comment=', protocol: 'udp', ports: '53' },
    { to: '2001:db8::/32%x\naction=accept comment=', protocol: 'udp', ports: '53' },
    { to: '10.1.0.1\naction=accept', protocol: 'tcp', ports: '80' },
    { to: '10.1.0.1 comment=x', protocol: 'tcp', ports: '80' },
    { to: '１０.1.0.1', protocol: 'tcp', ports: '80' },
    { to: '1.2.3' },
    { to: '10.1.0.1', protocol: 'tcp', ports: '0' },
    { to: '10.1.0.1', protocol: 'tcp', ports: '90-80' },
    { to: '10.1.0.1', protocol: 'tcp', ports: '65536' },
    { to: '10.1.0.1', protocol: 'icmp', ports: '80' },
    { to: '10.1.0.1', ports: '80' },
    { to: 'dns', protocol: 'udp' },
    { to: '10.1.0.1', action: 'accept' },
    {},
  ])
    it(`malformed outbound rules are refused by their shape: ${JSON.stringify(rule)}`, async () => {
      const before = harness.truth();
      expect((await set([rule])).code).toBe('invalid-request');
      expect(harness.truth()).toBe(before);
    });

  it('the outbound rules of a new qube are within the ceiling from its birth', () => {
    expect(harness.qube('ai-one')!.firewall).toEqual([
      'action=accept dst4=10.1.0.0/16 proto=tcp dstports=1-1024',
      'action=accept dst6=2001:db8::/32 proto=udp dstports=53-53',
      'action=accept specialtarget=dns',
      'action=drop',
    ]);
  });

  it('outbound rules that the operator wrote are not shown', async () => {
    await harness.operator(
      'admin.vm.firewall.Set',
      'ai-one',
      '',
      'action=accept dst4=192.168.7.0/24\naction=drop\n',
    );
    const { result } = await harness.ask('ai-one', 'qmcp.egress.RulesGet');
    expect([result.rules, result.by]).toEqual([[], 'operator']);
    expect(JSON.stringify(result)).not.toContain('192.168');
  });

  it('outbound rules and network of a qube with an egress lock cannot be changed', async () => {
    await harness.operator('admin.vm.tag.Set', 'ai-one', 'ai-egress-lock');
    const before = harness.truth();
    expect((await set([])).code).toBe('not-found');
    expect((await harness.ask('ai-one', 'qmcp.networking.Disconnect')).code).toBe('not-found');
    expect(harness.truth()).toBe(before);
  });
});

// ATTACK 2
// INVARIANT egress.never-widens
describe('the network of a qube', () => {
  const netvm = (name = 'ai-one') => harness.qube(name)!.properties.netvm;
  const disconnect = (name = 'ai-one') => harness.ask(name, 'qmcp.networking.Disconnect');
  const reconnect = (name = 'ai-one') => harness.ask(name, 'qmcp.networking.Reconnect');
  beforeEach(() => take(roomy));

  it('a qube can always leave its network, and return to it', async () => {
    expect((await disconnect()).code).toBe('ok');
    expect(netvm()).toBe('');
    expect((await reconnect()).code).toBe('ok');
    expect(netvm()).toBe('sys-ai-net');
  });

  it('a qube that was born without a network never gets one', async () => {
    await harness.ask('@adminvm', 'qmcp.spawn.Create', {
      name: 'ai-off',
      template: 'ai-debian',
      network: 'none',
    });
    const before = harness.truth();
    expect((await reconnect('ai-off')).code).toBe('not-permitted');
    expect(harness.truth()).toBe(before);
    await disconnect('ai-off');
    expect((await reconnect('ai-off')).code).toBe('not-permitted');
    expect(netvm('ai-off')).toBe('');
  });

  it('a qube of the operator that left its network returns to it only if it is a gateway', async () => {
    for (const tag of ['ai-managed', 'ai-full']) await harness.operator('admin.vm.tag.Set', 'work', tag);
    expect((await disconnect('work')).code).toBe('ok');
    expect((await reconnect('work')).code).toBe('not-permitted');
    expect(netvm('work')).toBe('');
  });

  it('a qube does not return to a network that is no longer a gateway', async () => {
    await disconnect();
    await harness.operator('admin.vm.feature.Set', 'ai-one', 'qmcp-network', 'sys-firewall');
    expect((await reconnect()).code).toBe('not-permitted');
    expect(netvm()).toBe('');
  });
});
