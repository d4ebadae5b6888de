/** Cases that the crash sweep (sweep.test.ts), which interrupts every verb at each of its calls, does not show. */
import { afterEach, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { holdFirst } from '../support/interference.js';
import { eventually } from '../support/waiting.js';

let harness: Harness | undefined;
afterEach(async () => {
  await harness?.close();
  harness = undefined;
});

const create = (at: Harness) =>
  at.call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian' });

describe('qmcpd is interrupted', () => {
  it('a birth that qubesd finishes only after qmcpd has restarted belongs to nobody and is removed', async () => {
    harness = await Harness.start();
    const { host } = harness.sim;
    const original = host.call.bind(host);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { qmcpd } = harness.sim;
    host.call = async (request) => {
      if (!Buffer.from(request).toString('latin1').startsWith('admin.vm.Create.AppVM'))
        return original(request);
      await qmcpd.kill();
      await held;
      return original(request);
    };
    await create(harness);
    await qmcpd.restart();
    release();
    await eventually(() => harness!.qube('ai-one')?.name).toBe('ai-one');
    host.call = original;
    // Unfinished, so out of everybody's reach from the first moment.
    expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain('ai-one');
    expect(await harness.direct('qmcp.spawn.Start', 'ai-one')).toBe(
      await harness.direct('qmcp.spawn.Start', 'no-such-qube'),
    );
    await eventually(() => harness!.qube('ai-one')).toBeUndefined();
  });

  it('qmcpd that is stopped in the middle of a call undoes the call and says so in the audit log', async () => {
    harness = await Harness.start();
    const { arrived, release } = holdFirst(harness, 'admin.vm.property.Set');
    const birth = create(harness);
    await arrived;
    const stopped = harness.sim.qmcpd.kill('SIGTERM');
    await birth;
    await stopped;
    release();
    expect(harness.qube('ai-one')).toBeUndefined();
    expect(harness.audit().map(({ kind, code }) => [kind, code])).toEqual([
      ['intent', undefined],
      ['outcome', 'failed'],
    ]);
    await harness.sim.qmcpd.restart();
    expect(harness.qube('ai-one')).toBeUndefined();
  });
});
