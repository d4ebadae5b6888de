import { afterEach, describe, expect, it } from 'vitest';
import { Seat } from './host.js';

type When = 'before' | 'after';

let seat: Seat | undefined;
afterEach(async () => {
  await seat?.leave();
  seat = undefined;
});

/** Kills qmcpd at its nth Admin API call from now: before qubesd sees it, or after it was carried out. */
function killAt(at: Seat, nth: number, when: When): { calls: () => number; killed: () => boolean } {
  const { host } = at.sim;
  const original = host.call.bind(host);
  let calls = 0;
  let killed = false;
  host.call = async (request) => {
    calls += 1;
    if (calls !== nth) return original(request);
    killed = true;
    if (when === 'before') {
      await at.sim.qmcpd.kill();
      return new Uint8Array();
    }
    const reply = await original(request);
    await at.sim.qmcpd.kill();
    return reply;
  };
  return { calls: () => calls, killed: () => killed };
}

interface Verb {
  prepare(at: Seat): Promise<unknown>;
  call(at: Seat): Promise<unknown>;
  /** The host's state of the qube in question: `none`, `whole`, or a description of what is neither. */
  outcome(at: Seat): string;
}

const qube = (at: Seat) => at.sim.host.snapshot().qubes.find(({ name }) => name === 'ai-one');
const create = (at: Seat, more: object = {}) =>
  at.call('@adminvm', 'qmcp.spawn.Create', { name: 'ai-one', template: 'ai-debian', ...more });
const born = (at: Seat) => {
  const one = qube(at);
  if (one === undefined) return 'none';
  const tags = [...one.tags].sort().join(' ');
  const whole =
    tags === 'ai-born ai-full ai-managed created-by-mcp-control' && one.properties.netvm === 'sys-ai-net';
  return whole ? 'whole' : `${one.state}: ${tags}`;
};

const VERBS: Record<string, Verb> = {
  create: {
    prepare: async () => {},
    call: (at) => create(at, { memory: 500 }),
    outcome: (at) => (qube(at)?.state === 'Running' ? 'running' : born(at)),
  },
  'create and start': {
    prepare: async () => {},
    call: (at) => create(at, { start: true }),
    outcome: (at) => (born(at) === 'whole' && qube(at)?.state !== 'Running' ? 'whole, halted' : born(at)),
  },
  start: {
    prepare: (at) => create(at),
    call: (at) => at.call('ai-one', 'qmcp.spawn.Start'),
    outcome: (at) =>
      qube(at)?.state === 'Running' ? 'whole' : qube(at)?.state === 'Halted' ? 'none' : 'between',
  },
  remove: {
    prepare: (at) => create(at, { start: true }),
    call: (at) => at.call('ai-one', 'qmcp.spawn.Remove'),
    outcome: (at) => {
      const one = qube(at)!;
      const tags = [...one.tags].sort().join(' ');
      if (one.state === 'Running' && tags === 'ai-born ai-full ai-managed created-by-mcp-control')
        return 'none';
      if (one.state === 'Halted' && tags === 'ai-born ai-tombstone created-by-mcp-control') return 'whole';
      return `${one.state}: ${tags}`;
    },
  },
};

describe('qmcpd killed at any of its calls to qubesd leaves, once it is back, the whole effect or none', () => {
  for (const [name, verb] of Object.entries(VERBS)) {
    it(name, async () => {
      seat = await Seat.take();
      await verb.prepare(seat);
      const uninterrupted = killAt(seat, Number.POSITIVE_INFINITY, 'before');
      await verb.call(seat);
      expect(verb.outcome(seat)).toBe('whole');
      const calls = uninterrupted.calls();
      await seat.leave();
      seat = undefined;

      const outcomes = new Set<string>();
      for (let nth = 1; nth <= calls; nth++) {
        for (const when of ['before', 'after'] as const) {
          seat = await Seat.take();
          await verb.prepare(seat);
          const sweep = killAt(seat, nth, when);
          await verb.call(seat);
          expect(sweep.killed()).toBe(true);
          await seat.sim.qmcpd.restart();
          const outcome = verb.outcome(seat);
          expect(['none', 'whole'], `${name}, killed ${when} call ${nth}: ${outcome}`).toContain(outcome);
          outcomes.add(outcome);
          expect((await seat.call('@adminvm', 'qmcp.inspect.List')).stdout).toContain('ai-debian');
          await seat.leave();
          seat = undefined;
        }
      }
      console.log(
        `${name}: ${calls} calls, killed before and after each: ${[...outcomes].sort().join(', ')}`,
      );
    }, 120_000);
  }

  it('a birth that qubesd finishes only after qmcpd is back is nobody’s, and goes', async () => {
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
    await expect.poll(() => qube(seat!)?.name).toBe('ai-one');
    host.call = original;
    // Unfinished, so out of everybody's reach from the first moment.
    expect((await seat.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain('ai-one');
    expect(await seat.direct('qmcp.spawn.Start', 'ai-one')).toBe(
      await seat.direct('qmcp.spawn.Start', 'no-such-qube'),
    );
    await expect.poll(() => qube(seat!), { timeout: 15_000, interval: 250 }).toBeUndefined();
  });

  it('told to stop in the middle of a call, it undoes the call and says so in the audit log', async () => {
    seat = await Seat.take();
    const { arrived, release } = seat.hold('admin.vm.property.Set');
    const birth = create(seat);
    await arrived;
    const stopped = seat.sim.qmcpd.kill('SIGTERM');
    await birth;
    await stopped;
    release();
    expect(born(seat)).toBe('none');
    expect(seat.audit().map(({ kind, code }) => [kind, code])).toEqual([
      ['intent', undefined],
      ['outcome', 'failed'],
    ]);
    await seat.sim.qmcpd.restart();
    expect(born(seat)).toBe('none');
  });
});
