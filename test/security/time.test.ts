/**
 * What an agent learns with a watch in its hand. Names come past the policy in payloads, so the kernel itself has to be as
 * quick about a qube that is hidden as about one that is missing.
 *
 *     QMCP_TIME=2000 npx vitest run test/security/time.test.ts     2,000 samples of each, medians within 2 %, on a quiet machine
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { roomy, Seat } from './host.js';

/** Samples of each kind, and how far their medians may be apart. A difference that is there is there in all the samples. */
const FULL = Number(process.env.QMCP_TIME ?? 0);
const ROUNDS = FULL > 0 ? [FULL] : [100, 200, 400, 800];
const WITHIN = FULL > 0 ? 0.02 : 0.08;

const SEED = Number(process.env.QMCP_SEED ?? Date.now() % 2 ** 31);

let seat: Seat;
beforeEach(async () => {
  seat = await Seat.take('demo', (root) => {
    roomy(root);
    const path = `${root}/etc/qmcp/qmcp.toml`;
    const lab =
      '\n[world.lab]\nprefix = "lab-"\n[world.lab.budget]\nrunning = 9\nmemory = 99999\nvcpus = 99\n' +
      '[world.lab.principal.lab-control]\nplugins = ["spawn"]\n';
    writeFileSync(path, readFileSync(path, 'utf8') + lab);
  });
});
afterEach(() => seat.leave());

const NOT_FOUND = '{"error":{"code":"not-found"},"ok":false}\n';
const start = (name: string, source?: string) => seat.direct('qmcp.spawn.Start', name, {}, source);
const median = (times: number[]) => times.sort((one, other) => one - other)[times.length >> 1]!;

/** Names an agent can ask about, and why it gets none of them. */
const NAMES = { missing: 'nobody-1', hidden: 'work', underTier: 'personal', removed: 'ai-gone' };
/** A name as the target, and in the payload, which no policy looks at; with what it is in nobody's way for. */
const ASKED: readonly [string, (name: string) => Promise<string>, (keyof typeof NAMES)[]][] = [
  ['a call of it', (name) => start(name), ['missing', 'hidden', 'underTier', 'removed']],
  ['a look at it', (name) => seat.direct('qmcp.inspect.State', name), ['missing', 'hidden', 'removed']],
  [
    'a birth from it',
    (template) => host('qmcp.spawn.Create', { name: 'ai-one', template }),
    ['missing', 'hidden', 'removed'],
  ],
  [
    'a clone of it',
    (source) => host('qmcp.spawn.Clone', { name: 'ai-one', source }),
    ['missing', 'hidden', 'underTier', 'removed'],
  ],
  ['its return', (qube) => host('qmcp.spawn.Restore', { qube }), ['missing', 'hidden', 'underTier']],
];
const host = (service: string, payload: object) => seat.direct(service, '@adminvm', payload);

// ATTACK 15
describe('by the time it takes, a name that is missing cannot be told', () => {
  it.each(ASKED)(
    'from one that is hidden, under tier or removed: %s',
    async (_what, ask, kinds) => {
      await seat.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-gone', template: 'ai-debian' });
      await seat.ask('ai-gone', 'qmcp.spawn.Remove');
      await seat.operator('admin.vm.tag.Set', 'personal', 'ai-managed');
      const times = new Map(kinds.map((kind) => [kind, [] as number[]]));
      const sample = async (wanted: number) => {
        while (times.get('missing')!.length < wanted)
          // In turn, in any order: what slows the machine down slows all of them, and none always follows another.
          for (const kind of shuffled(kinds)) {
            const begun = performance.now();
            const reply = await ask(NAMES[kind]);
            times.get(kind)!.push(performance.now() - begun);
            expect(reply).toBe(NOT_FOUND);
          }
        const missing = median([...times.get('missing')!]);
        return kinds.map((kind) => [kind, median([...times.get(kind)!]) / missing] as const);
      };
      let ratios: Awaited<ReturnType<typeof sample>> = [];
      for (const wanted of ROUNDS) {
        ratios = await sample(wanted);
        if (ratios.every(([, ratio]) => Math.abs(ratio - 1) <= WITHIN)) break;
      }
      const shown = ratios.map(([kind, ratio]) => `${kind} ${ratio.toFixed(3)}`).join(', ');
      console.log(
        `time, by the missing one’s: ${shown}; ${times.get('missing')!.length} samples each, seed ${SEED}`,
      );
      for (const [kind, ratio] of ratios) expect(Math.abs(ratio - 1), kind).toBeLessThanOrEqual(WITHIN);
    },
    120_000,
  );

  it('even where qubesd itself is sooner done with what does not exist', async () => {
    const { host } = seat.sim;
    const original = host.call.bind(host);
    host.call = async (request) => {
      const reply = await original(request);
      const [format] = Buffer.from(reply).toString('latin1').split('\0');
      if (format === '0') await new Promise((resolve) => setTimeout(resolve, 100));
      return reply;
    };
    for (const name of ['no-such-qube', 'work'])
      for (const act of [
        () => start(name),
        () => seat.direct('qmcp.spawn.Create', '@adminvm', { name: 'ai-one', template: name }),
        () => seat.direct('qmcp.spawn.Restore', '@adminvm', { qube: name }),
      ]) {
        const begun = performance.now();
        expect(await act()).toBe(NOT_FOUND);
        expect(performance.now() - begun).toBeGreaterThan(95);
      }
  });

  it('from one that another world is busy with', async () => {
    await seat.operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', 'name=lab-one label=red');
    for (const tag of ['lab-managed', 'lab-full']) await seat.operator('admin.vm.tag.Set', 'lab-one', tag);
    await seat.operator('admin.vm.property.Set', 'lab-one', 'netvm', '');
    const held = seat.hold('admin.vm.Start');
    const theirs = start('lab-one', 'lab-control');
    await held.arrived;
    // Were it to wait for them, it would wait for ever: they wait for us.
    expect(await start('lab-one')).toBe(NOT_FOUND);
    expect(await seat.direct('qmcp.spawn.Clone', '@adminvm', { source: 'lab-one', name: 'ai-one' })).toBe(
      NOT_FOUND,
    );
    held.release();
    expect(JSON.parse(await theirs)).toMatchObject({ ok: true });
  });
});

/** mulberry32: numbers from 0 to 1 that are the same for the same seed. */
let drawn = SEED;
function draw(): number {
  drawn = (drawn + 0x6d2b79f5) | 0;
  let mixed = Math.imul(drawn ^ (drawn >>> 15), 1 | drawn);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
}

function shuffled<T>(all: readonly T[]): T[] {
  const order = [...all];
  for (let at = order.length - 1; at > 0; at--) {
    const other = Math.floor(draw() * (at + 1));
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  return order;
}
