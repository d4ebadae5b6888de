import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { everyCallOn } from './every-call.js';

let harness: Harness;
beforeAll(async () => {
  harness = await Harness.start();
  // Also where the operator tagged by mistake a qube that must never be an agent's.
  for (const name of ['mcp-control', 'sys-ai-net'])
    for (const tag of ['ai-managed', 'ai-full']) await harness.operator('admin.vm.tag.Set', name, tag);
});
afterAll(() => harness.close());

// ATTACK 13
// INVARIANT scope.self-excluded
describe('no call reaches the caller’s own qube, its gateway or dom0, whatever tags they have:', () => {
  for (const { service, target, payload } of everyCallOn('NAME')) {
    const place =
      target === 'NAME'
        ? 'as its target'
        : `as ${Object.entries(payload).find(([, value]) => value === 'NAME')![0]}`;
    it(`${service}, ${place}`, async () => {
      const before = harness.truth();
      const said = JSON.stringify(payload);
      const asked = (name: string) =>
        harness.direct(service, target === 'NAME' ? name : target, said.replaceAll('NAME', name));
      const missing = await asked('no-such-qube');
      expect(missing).toBe('{"error":{"code":"not-found"},"ok":false}\n');
      for (const name of ['mcp-control', 'sys-ai-net', 'dom0']) expect(await asked(name)).toBe(missing);
      expect(harness.truth()).toBe(before);
    });
  }

  // INVARIANT scope.existence-hidden
  it('the caller’s own tags do not open a name outside the world', async () => {
    const before = harness.truth();
    const refused = '{"error":{"code":"not-found"},"ok":false}\n';
    for (const name of ['no-such-qube', 'vault'])
      expect(await harness.direct('qmcp.spawn.Start', name)).toBe(refused);
    await harness.operator('admin.vm.tag.Set', 'mcp-control', 'ai-tombstone');
    for (const name of ['no-such-qube', 'vault'])
      expect(await harness.direct('qmcp.spawn.Restore', '@adminvm', { qube: name })).toBe(refused);
    await harness.operator('admin.vm.tag.Remove', 'mcp-control', 'ai-tombstone');
    expect(harness.truth()).toBe(before);
  });

  it('a qube outside the world does not change through its template, although that belongs to the world', async () => {
    for (const tag of ['ai-exec', 'ai-net', 'ai-full'])
      await harness.operator('admin.vm.tag.Set', 'ai-debian', tag);
    await harness.operator('admin.vm.Create.AppVM', 'dom0', 'ai-debian', 'name=office label=blue');
    const before = harness.truth();
    expect((await harness.ask('ai-debian', 'qmcp.inspect.Set', { memory: 500 })).code).toBe('not-permitted');
    expect(harness.truth()).toBe(before);
  });

  it('the same calls reach a qube of the world, so the control works', async () => {
    const codes = new Set<string>();
    for (const { service, target, payload, effect } of everyCallOn('ai-debian'))
      if (effect === 'read')
        codes.add(
          (JSON.parse(await harness.direct(service, target, payload)) as { ok: boolean }).ok ? 'ok' : service,
        );
    expect([...codes]).toEqual(['ok']);
  });
});
