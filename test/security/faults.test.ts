import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { eventually } from '../support/waiting.js';

/** Words of qubesd's errors that no reply may contain. */
const SECRET = 'vault, work and sys-firewall are in lvm:qubes_dom0/vm-vault-private at 10.137.0.9';
const LEAK = /vault|\bwork\b|firewall|lvm|qubes_dom0|10\.137|Error|Traceback/;

const FAULTS = {
  'an error': async (_carryOut: () => Promise<Uint8Array>) =>
    Buffer.from(`2\0QubesException\0Traceback: ${SECRET}\0${SECRET}\0`),
  'an empty reply': async (_carryOut: () => Promise<Uint8Array>) => new Uint8Array(),
  'an empty reply after it was done': async (carryOut: () => Promise<Uint8Array>) => {
    await carryOut();
    return new Uint8Array();
  },
  'bytes that are no reply': async (_carryOut: () => Promise<Uint8Array>) =>
    Buffer.from(`${SECRET}\0\xff`, 'latin1'),
};

let harness: Harness;
beforeEach(async () => {
  harness = await Harness.start();
});
afterEach(async () => {
  await harness.close();
});

const qube = (name: string) => harness.sim.host.snapshot().qubes.find((one) => one.name === name);
const create = (name: string, more: object = {}) =>
  harness.call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian', ...more });
const WHOLE = 'ai-born ai-full ai-managed created-by-mcp-control';
const tags = (name: string) => [...(qube(name)?.tags ?? [])].sort().join(' ');
const state = (name: string) => (qube(name) ? `${qube(name)!.state}: ${tags(name)}` : 'nothing');

interface Verb {
  prepare(name: string): Promise<unknown>;
  call(name: string): Promise<{ stdout: string }>;
  readonly none: string;
  readonly whole: string;
}

const VERBS: Record<string, Verb> = {
  create: {
    prepare: async () => {},
    call: (name) => create(name, { memory: 500, vcpus: 1, private_size: 3 * 2 ** 30 }),
    none: 'nothing',
    whole: `Halted: ${WHOLE}`,
  },
  'create and start': {
    prepare: async () => {},
    call: (name) => create(name, { start: true }),
    none: 'nothing',
    whole: `Running: ${WHOLE}`,
  },
  start: {
    prepare: (name) => create(name),
    call: (name) => harness.call(name, 'qmcp.spawn.Start'),
    none: `Halted: ${WHOLE}`,
    whole: `Running: ${WHOLE}`,
  },
  shutdown: {
    prepare: (name) => create(name, { start: true }),
    call: (name) => harness.call(name, 'qmcp.spawn.Shutdown', { timeout: 5 }),
    none: `Running: ${WHOLE}`,
    whole: `Halted: ${WHOLE}`,
  },
  remove: {
    prepare: (name) => create(name, { start: true }),
    call: (name) => harness.call(name, 'qmcp.spawn.Remove'),
    none: `Running: ${WHOLE}`,
    whole: 'Halted: ai-born ai-full ai-managed ai-tombstone created-by-mcp-control',
  },
};

/** Makes the nth call to qubesd from now fail, and no other. */
function spoil(nth: number, fault: (carryOut: () => Promise<Uint8Array>) => Promise<Uint8Array>) {
  const { host } = harness.sim;
  const original = host.call.bind(host);
  const seen: string[] = [];
  host.call = (request) => {
    seen.push(Buffer.from(request).toString('latin1').split('\0')[0]!);
    return seen.length === nth ? fault(() => original(request)) : original(request);
  };
  return { seen, stop: () => (host.call = original) };
}

// ATTACK 11, ATTACK 12, ATTACK 17
describe('when any one call to qubesd fails in any way, the effect is complete or absent, and the reply says which and no more', () => {
  for (const [verb, { prepare, call, none, whole }] of Object.entries(VERBS)) {
    it(verb, async () => {
      await prepare('ai-q0');
      const clean = spoil(0, FAULTS['an empty reply']);
      expect(JSON.parse((await call('ai-q0')).stdout)).toMatchObject({ ok: true });
      expect(state('ai-q0')).toBe(whole);
      clean.stop();

      const wrong: string[] = [];
      let serial = 0;
      for (const [what, fault] of Object.entries(FAULTS)) {
        for (let nth = 1; nth <= clean.seen.length; nth++) {
          const name = `ai-q${++serial}`;
          await prepare(name);
          const { stop, seen } = spoil(nth, fault);
          const { stdout } = await call(name);
          stop();
          const here = `${what} at call ${nth}, ${seen[nth - 1]}: ${stdout.trim()} and ${state(name)}`;
          const { ok } = JSON.parse(stdout) as { ok: boolean };
          if (ok ? state(name) !== whole : ![none, whole].includes(state(name))) wrong.push(here);
          if (LEAK.test(stdout)) wrong.push(here);
        }
      }
      expect(wrong).toEqual([]);
    });
  }
});

describe('effects that could not be undone at once', () => {
  it('an effect that could not be undone is reported as unfinished, is out of everybody’s reach, and is undone without a restart', async () => {
    const { host } = harness.sim;
    const original = host.call.bind(host);
    // qubesd refuses after the qube was made, so that it must be removed, and then the removal fails.
    host.call = (request) =>
      /^admin\.vm\.(Remove|firewall\.Set)/.test(Buffer.from(request).toString('latin1'))
        ? FAULTS['an error'](() => original(request))
        : original(request);
    const { stdout } = await create('ai-one');
    host.call = original;
    expect(stdout).toBe('{"error":{"code":"failed","data":{"unfinished":true}},"ok":false}\n');
    expect((await harness.call('@adminvm', 'qmcp.inspect.List')).stdout).not.toContain('ai-one');
    expect(await harness.direct('qmcp.spawn.Start', 'ai-one')).toBe(
      await harness.direct('qmcp.spawn.Start', 'no-such-qube'),
    );
    await eventually(() => state('ai-one')).toBe('nothing');
  });

  it('a birth that qubesd refuses is not reported as a taken name', async () => {
    await create('ai-one');
    const { stdout } = await create('ai-two', { template: 'ai-one' });
    expect(stdout).toBe('{"error":{"code":"failed"},"ok":false}\n');
    expect(state('ai-two')).toBe('nothing');
  });
});
