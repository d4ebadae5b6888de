/**
 * What an agent learns with a watch in its hand. Names come past the policy in payloads, so the kernel itself has to do for a
 * qube that is hidden what it does for one that is missing. That is counted here; `npm run bench` measures it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type StartPython, startPythonWith } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { gate, turn, until } from '../support/waiting.js';
import { roomy, Seat } from './host.js';

/** In place of `-B -m qmcpd`. */
const COUNTED = ['-B', packageFile('test/security/counted.py')];
let plain: StartPython;
let seat: Seat;
beforeAll(async () => {
  plain = startPythonWith((words, options) => plain([...COUNTED, ...words.slice(3)], options));
  seat = await Seat.take('demo', (root) => {
    roomy(root);
    const path = `${root}/etc/qmcp/qmcp.toml`;
    const lab =
      '\n[world.lab]\nprefix = "lab-"\n[world.lab.budget]\nrunning = 9\nmemory = 99999\nvcpus = 99\n' +
      '[world.lab.principal.lab-control]\nplugins = ["spawn"]\n';
    writeFileSync(path, readFileSync(path, 'utf8') + lab);
  });
  await seat.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-gone', template: 'ai-debian' });
  await seat.ask('ai-gone', 'qmcp.spawn.Remove');
  await seat.operator('admin.vm.tag.Set', 'personal', 'ai-managed');
});
afterAll(async () => {
  startPythonWith(plain);
  await seat.leave();
});

const NOT_FOUND = '{"error":{"code":"not-found"},"ok":false}\n';
const start = (name: string, source?: string) => seat.direct('qmcp.spawn.Start', name, {}, source);

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

/** Instructions of dom0's code for each call so far. */
const work = () => {
  const path = `${seat.sim.root}/var/log/work`;
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n').map(Number) : [];
};

/** What one call costs. */
async function cost(call: () => Promise<unknown>): Promise<number> {
  const before = work().length;
  await call();
  await until(() => work().length > before);
  return work()[before]!;
}

// ATTACK 15
describe('time shows no difference between a missing name', () => {
  it.each(ASKED)('and a hidden, under-tier or removed one: %s', async (_what, ask, kinds) => {
    // The least of many: now and then qmcpd looks at its files in a call. The first are not counted as the others are.
    const least = Object.fromEntries(kinds.map((kind) => [kind, Number.POSITIVE_INFINITY]));
    for (let round = -5; round < 15; round += 1)
      for (const kind of kinds) {
        const called = await cost(async () => expect(await ask(NAMES[kind])).toBe(NOT_FOUND));
        if (round >= 0) least[kind] = Math.min(least[kind]!, called);
      }
    const { missing, hidden } = least;
    expect(missing).toBeGreaterThan(1000);
    expect(hidden).toBe(missing);
    // A tag in a set, or one more: some fifty instructions would be a thousandth of what a call takes.
    for (const kind of kinds) expect(Math.abs(least[kind]! - missing!), kind).toBeLessThan(50);
  });

  it('and an existing one for which qubesd itself takes longer', async () => {
    const { host } = seat.sim;
    const original = host.call.bind(host);
    onTestFinished(() => {
      host.call = original;
    });
    for (const name of ['no-such-qube', 'work'])
      for (const act of [
        () => start(name),
        () => seat.direct('qmcp.spawn.Create', '@adminvm', { name: 'ai-one', template: name }),
        () => seat.direct('qmcp.spawn.Restore', '@adminvm', { qube: name }),
      ]) {
        const [asked, slow] = [gate(), gate()];
        const formats: string[] = [];
        host.call = async (request) => {
          const reply = await original(request);
          formats.push(Buffer.from(reply).toString('latin1').split('\0')[0]!);
          asked.open();
          await slow.opened;
          return reply;
        };
        let reply = '';
        const answered = act().then((said) => {
          reply = said;
        });
        // It waits for what qubesd says of one that exists, and never asks it about one that does not.
        await Promise.race([asked.opened, answered]);
        await turn();
        expect([reply, formats]).toEqual(['', ['0']]);
        slow.open();
        await answered;
        expect([reply, formats]).toEqual([NOT_FOUND, ['0']]);
      }
  });

  it('and one that another world is using', async () => {
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
