import { mkdirSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Seat } from './host.js';

let seat: Seat;
beforeEach(async () => {
  seat = await Seat.take();
});
afterEach(async () => {
  await seat.leave();
});

const FROZEN = '{"error":{"code":"frozen"},"ok":false}\n';
const qube = (name: string) => seat.sim.host.snapshot().qubes.find((one) => one.name === name);
const create = (more: object = {}) =>
  seat.call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian', ...more });

function freeze() {
  mkdirSync(`${seat.sim.root}/var/lib/qmcp/frozen`, { recursive: true });
  writeFileSync(`${seat.sim.root}/var/lib/qmcp/frozen/ai`, '');
}

describe('a world that is frozen while a call is under way', () => {
  it('a call that waited for another one has no effect', async () => {
    await create();
    const held = seat.hold('admin.vm.Start');
    const first = seat.call('ai-one', 'qmcp.spawn.Start');
    await held.arrived;
    const second = seat.call('ai-one', 'qmcp.spawn.Remove');
    await new Promise((resolve) => setTimeout(resolve, 200));
    freeze();
    held.release();
    expect((await first).stdout).toBe(FROZEN);
    expect((await second).stdout).toBe(FROZEN);
    expect(qube('ai-one')?.state).toBe('Halted');
    expect(qube('ai-one')?.tags).toContain('ai-full');
  });

  it('a birth does not come to its end, and what there was of it goes', async () => {
    const held = seat.hold('admin.vm.Create.AppVM');
    const birth = create({ start: true });
    await held.arrived;
    freeze();
    held.release();
    expect((await birth).stdout).toBe(FROZEN);
    expect(qube('ai-one')).toBeUndefined();
  });
});
