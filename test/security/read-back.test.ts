import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';

let harness: Harness;
beforeAll(async () => {
  harness = await Harness.start();
});
afterAll(() => harness.close());

/**
 * Changes a qube during its birth, after all that the call does to it and before the last look at it: an extension of qubesd or
 * a script of the operator might. The last look begins with its tags, which were requested three times before: when the name had to
 * be free, when it was made, and after the writes.
 */
function meanwhile(
  name: () => string | undefined,
  nth: number,
  change: (name: string) => Promise<unknown>,
): void {
  const { host } = harness.sim;
  const original = host.call.bind(host);
  let seen = 0;
  host.call = async (request) => {
    const born = name();
    const asked = harness.named(Buffer.from(request).toString('latin1'));
    if (born !== undefined && asked.startsWith(`admin.vm.tag.List+ dom0 name ${born}\0`)) {
      seen += 1;
      if (seen === nth) {
        host.call = original;
        await change(born);
      }
    }
    return original(request);
  };
}

const CHANGES: Record<string, (name: string) => Promise<unknown>> = {
  'is on another network': (name) => harness.operator('admin.vm.property.Set', name, 'netvm', 'sys-firewall'),
  'is on no network': (name) => harness.operator('admin.vm.property.Set', name, 'netvm', ''),
  'has a default disposable': (name) =>
    harness.operator('admin.vm.property.Set', name, 'default_dispvm', 'default-dvm'),
  'has a management disposable': (name) =>
    harness.operator('admin.vm.property.Set', name, 'management_dispvm', 'default-dvm'),
  'starts by itself': (name) => harness.operator('admin.vm.property.Set', name, 'autostart', 'True'),
  'provides network': (name) => harness.operator('admin.vm.property.Set', name, 'provides_network', 'True'),
  'makes disposables': (name) =>
    harness.operator('admin.vm.property.Set', name, 'template_for_dispvms', 'True'),
  'has lost its umbrella': (name) => harness.operator('admin.vm.tag.Remove', name, 'ai-managed'),
  'has lost its stamp': (name) => harness.operator('admin.vm.tag.Remove', name, 'created-by-mcp-control'),
  'has a tier already': (name) => harness.operator('admin.vm.tag.Set', name, 'ai-exec'),
  'has another disk': (name) =>
    harness.operator('admin.vm.volume.Resize', name, 'private', String(5 * 2 ** 30)),
};

// ATTACK 11
// INVARIANT birth.class
// INVARIANT tiers.no-escalation
// INVARIANT birth.tagged-before-named
// INVARIANT birth.egress-inherited
// INVARIANT birth.no-escape-hatch
// INVARIANT egress.no-new-gateway
describe('a birth is looked at as a whole before anybody hears of it; nothing is left of a qube that', () => {
  for (const [what, change] of Object.entries(CHANGES))
    it(what, async () => {
      const before = harness.truth();
      meanwhile(() => 'ai-one', 4, change);
      const payload = { name: 'ai-one', template: 'ai-debian', start: true };
      const { code } = await harness.ask('@adminvm', 'qmcp.spawn.Create', payload);
      expect(code).toBe('failed');
      if (['has lost its stamp', 'has lost its umbrella'].includes(what)) {
        // Only dom0 can do that. Such a qube belongs to the operator: it is not removed, and not to be started.
        expect(await harness.direct('qmcp.spawn.Start', 'ai-one')).toContain('not-found');
        expect(harness.qube('ai-one')!.state).toBe('Halted');
        await harness.operator('admin.vm.Remove', 'ai-one');
      } else expect(harness.truth()).toBe(before);
    });
});

describe('a contract with a foreign class', () => {
  it('a service makes no qube of a class that its contract does not declare, whatever the parameters', async () => {
    await harness.close();
    const { readFileSync, writeFileSync } = await import('node:fs');
    harness = await Harness.start({
      prepare: (root) => {
        const path = `${root}/etc/qmcp/contracts/qmcp.spawn.Create.json`;
        const contract = JSON.parse(readFileSync(path, 'utf8'));
        for (const one of contract.invariants)
          if (one.id === 'birth.class') one.with = { classes: ['AppVM'] };
        writeFileSync(path, JSON.stringify(contract));
      },
    });
    const before = harness.truth();
    const payload = { name: 'ai-one', template: 'ai-debian', class: 'DispVMTemplate' };
    expect((await harness.ask('@adminvm', 'qmcp.spawn.Create', payload)).code).toBe('failed');
    expect(harness.truth()).toBe(before);
  });
});
