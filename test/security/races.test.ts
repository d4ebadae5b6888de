import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { holdFirst } from '../support/interference.js';

let harness: Harness;
afterEach(async () => {
  await harness.close();
});

const qube = (name: string) => harness.sim.host.snapshot().qubes.find((one) => one.name === name);
const code = (reply: string) => {
  const { ok, error } = JSON.parse(reply) as { ok: boolean; error?: { code: string } };
  return ok ? 'ok' : error!.code;
};
const create = (name: string, more: object = {}) =>
  harness.direct('qmcp.spawn.Create', '@adminvm', { name, template: 'ai-debian', ...more });

describe('concurrent calls', () => {
  it('of 32 births under one name at once, one succeeds, and the others leave nothing', async () => {
    harness = await Harness.start();
    const codes = (await Promise.all(Array.from({ length: 32 }, () => create('ai-one')))).map(code);
    expect(codes.filter((one) => one === 'ok')).toHaveLength(1);
    expect(codes.filter((one) => !['ok', 'busy', 'name-taken'].includes(one))).toEqual([]);
    expect(qube('ai-one')?.tags).toContain('ai-born');
  });

  it('no more births of a world than its share run at once, and a full queue stays closed for another', async () => {
    harness = await Harness.start();
    const codes = (await Promise.all(Array.from({ length: 32 }, (_, at) => create(`ai-n${at}`)))).map(code);
    const made = harness.sim.host.snapshot().qubes.filter(({ name }) => name.startsWith('ai-n'));
    expect(made).toHaveLength(codes.filter((one) => one === 'ok').length);
    expect(made.every(({ tags }) => tags.includes('ai-born') && tags.includes('ai-managed'))).toBe(true);
  });

  it('a qube cannot be removed during its birth', async () => {
    harness = await Harness.start();
    const held = holdFirst(harness, 'admin.vm.Start');
    const birth = create('ai-one', { start: true });
    await held.arrived;
    const removal = harness.direct('qmcp.spawn.Remove', 'ai-one');
    held.release();
    expect([code(await birth), code(await removal)]).toEqual(['ok', 'ok']);
    expect(qube('ai-one')?.state).toBe('Halted');
    expect(qube('ai-one')?.tags).toContain('ai-tombstone');
  });

  it('one call at a time changes a qube, whether it is the target or a name in the payload', async () => {
    harness = await Harness.start({
      prepare: (root) => {
        // A contract that a third party might write: it removes a qube named in the payload, not its target.
        const contracts = `${root}/etc/qmcp/contracts`;
        const remove = JSON.parse(readFileSync(`${contracts}/qmcp.spawn.Remove.json`, 'utf8'));
        const name = { type: 'string', pattern: '^[a-zA-Z][a-zA-Z0-9_.-]*$', maxLength: 31 };
        const retire = {
          ...remove,
          service: 'qmcp.spawn.Retire',
          target: null,
          qubes: { name: 'full' },
          params: { ...remove.params, properties: { name }, required: ['name'] },
          steps: [{ do: 'entomb', with: { qube: '$name' } }],
        };
        writeFileSync(`${contracts}/qmcp.spawn.Retire.json`, JSON.stringify(retire));
      },
    });
    await create('ai-one');
    const held = holdFirst(harness, 'admin.vm.Start');
    const start = harness.direct('qmcp.spawn.Start', 'ai-one');
    await held.arrived;
    const retired = harness.direct('qmcp.spawn.Retire', '@adminvm', { name: 'ai-one' });
    await Promise.race([retired, harness.underWay(2)]);
    held.release();
    expect([code(await start), code(await retired)]).toEqual(['ok', 'ok']);
    expect(qube('ai-one')?.state).toBe('Halted');
    expect(qube('ai-one')?.tags).toContain('ai-tombstone');
  });
});
