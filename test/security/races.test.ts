import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Seat } from './host.js';

let seat: Seat;
afterEach(async () => {
  await seat.leave();
});

const qube = (name: string) => seat.sim.host.snapshot().qubes.find((one) => one.name === name);
const code = (reply: string) => {
  const { ok, error } = JSON.parse(reply) as { ok: boolean; error?: { code: string } };
  return ok ? 'ok' : error!.code;
};
const create = (name: string, more: object = {}) =>
  seat.direct('qmcp.spawn.Create', '@adminvm', { name, template: 'ai-debian', ...more });

describe('concurrent calls', () => {
  it('of 32 births under one name at once, one succeeds, and the others leave nothing', async () => {
    seat = await Seat.take();
    const codes = (await Promise.all(Array.from({ length: 32 }, () => create('ai-one')))).map(code);
    expect(codes.filter((one) => one === 'ok')).toHaveLength(1);
    expect(codes.filter((one) => !['ok', 'busy', 'name-taken'].includes(one))).toEqual([]);
    expect(qube('ai-one')?.tags).toContain('ai-born');
  });

  it('no more births of a world than its share run at once, and a full queue stays closed for another', async () => {
    seat = await Seat.take();
    const codes = (await Promise.all(Array.from({ length: 32 }, (_, at) => create(`ai-n${at}`)))).map(code);
    const made = seat.sim.host.snapshot().qubes.filter(({ name }) => name.startsWith('ai-n'));
    expect(made).toHaveLength(codes.filter((one) => one === 'ok').length);
    expect(made.every(({ tags }) => tags.includes('ai-born') && tags.includes('ai-managed'))).toBe(true);
  });

  it('a qube cannot be removed during its birth', async () => {
    seat = await Seat.take();
    const held = seat.hold('admin.vm.Start');
    const birth = create('ai-one', { start: true });
    await held.arrived;
    const removal = seat.direct('qmcp.spawn.Remove', 'ai-one');
    held.release();
    expect([code(await birth), code(await removal)]).toEqual(['ok', 'ok']);
    expect(qube('ai-one')?.state).toBe('Halted');
    expect(qube('ai-one')?.tags).toContain('ai-tombstone');
  });

  it('one call at a time changes a qube, whether it is the target or a name in the payload', async () => {
    seat = await Seat.take('demo', (root) => {
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
    });
    await create('ai-one');
    const held = seat.hold('admin.vm.Start');
    const start = seat.direct('qmcp.spawn.Start', 'ai-one');
    await held.arrived;
    const retired = seat.direct('qmcp.spawn.Retire', '@adminvm', { name: 'ai-one' });
    await Promise.race([retired, seat.underWay(2)]);
    held.release();
    expect([code(await start), code(await retired)]).toEqual(['ok', 'ok']);
    expect(qube('ai-one')?.state).toBe('Halted');
    expect(qube('ai-one')?.tags).toContain('ai-tombstone');
  });
});
