/** Cases that the crash sweep (sweep.test.ts), which interrupts every verb at each of its calls, does not show. */
import { afterEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/waiting.js';
import { Seat } from './host.js';

let seat: Seat | undefined;
afterEach(async () => {
  await seat?.leave();
  seat = undefined;
});

const create = (at: Seat) =>
  at.call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian' });

describe('qmcpd is interrupted', () => {
  it('a birth that qubesd finishes only after qmcpd has restarted belongs to nobody and is removed', async () => {
    seat = await Seat.take();
    const { host } = seat.sim;
    const original = host.call.bind(host);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { qmcpd } = seat.sim;
    host.call = async (request) => {
      if (!Buffer.from(request).toString('latin1').startsWith('admin.vm.Create.AppVM'))
        return original(request);
      await qmcpd.kill();
      await held;
      return original(request);
    };
    await create(seat);
    await qmcpd.restart();
    release();
    await eventually(() => seat!.qube('ai-one')?.name).toBe('ai-one');
    host.call = original;
    // Unfinished, so out of everybody's reach from the first moment.
    expect((await seat.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain('ai-one');
    expect(await seat.direct('qmcp.spawn.Start', 'ai-one')).toBe(
      await seat.direct('qmcp.spawn.Start', 'no-such-qube'),
    );
    await eventually(() => seat!.qube('ai-one')).toBeUndefined();
  });

  it('qmcpd that is stopped in the middle of a call undoes the call and says so in the audit log', async () => {
    seat = await Seat.take();
    const { arrived, release } = seat.hold('admin.vm.property.Set');
    const birth = create(seat);
    await arrived;
    const stopped = seat.sim.qmcpd.kill('SIGTERM');
    await birth;
    await stopped;
    release();
    expect(seat.qube('ai-one')).toBeUndefined();
    expect(seat.audit().map(({ kind, code }) => [kind, code])).toEqual([
      ['intent', undefined],
      ['outcome', 'failed'],
    ]);
    await seat.sim.qmcpd.restart();
    expect(seat.qube('ai-one')).toBeUndefined();
  });
});
