/**
 * What an agent can learn from the time a call takes. Names can pass the policy in payloads, so the kernel itself must do for a
 * hidden qube what it does for a missing one. The work is counted here; `npm run bench` measures the time.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type StartPython, startPythonWith } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { Harness, roomy } from '../support/harness.js';
import { holdFirst } from '../support/interference.js';
import { eventually, gate, turn, until } from '../support/waiting.js';

/** Replaces `-B -m qmcpd`. */
const COUNTED = ['-B', packageFile('test/security/counted.py')];
let plain: StartPython;
let harness: Harness;
beforeAll(async () => {
  plain = startPythonWith((words, options) => plain([...COUNTED, ...words.slice(3)], options));
  harness = await Harness.start({
    prepare: (root) => {
      roomy(root);
      const path = `${root}/etc/qmcp/qmcp.toml`;
      const lab =
        '\n[world.lab]\nprefix = "lab-"\n[world.lab.budget]\nrunning = 9\nmemory = 99999\nvcpus = 99\n' +
        '[world.lab.principal.lab-control]\nplugins = ["spawn", "inspect"]\n';
      writeFileSync(path, readFileSync(path, 'utf8') + lab);
    },
  });
  await harness.ask('@adminvm', 'qmcp.spawn.Create', { name: 'ai-gone', template: 'ai-debian' });
  await harness.ask('ai-gone', 'qmcp.spawn.Remove');
  await harness.operator('admin.vm.tag.Set', 'personal', 'ai-managed');
});
afterAll(async () => {
  startPythonWith(plain);
  await harness.close();
});

const NOT_FOUND = '{"error":{"code":"not-found"},"ok":false}\n';
const start = (name: string, source?: string) => harness.direct('qmcp.spawn.Start', name, {}, source);

/** Names that an agent can use, and why it reaches none of them. */
const NAMES = { missing: 'nobody-1', hidden: 'work', underTier: 'personal', removed: 'ai-gone' };
/** A name as the target, and in the payload, which no policy checks; with the condition under which the call makes sense. */
const ASKED: readonly [string, (name: string) => Promise<string>, (keyof typeof NAMES)[]][] = [
  ['a call of it', (name) => start(name), ['missing', 'hidden', 'underTier', 'removed']],
  ['a look at it', (name) => harness.direct('qmcp.inspect.State', name), ['missing', 'hidden', 'removed']],
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
const host = (service: string, payload: object) => harness.direct(service, '@adminvm', payload);

/** The instructions of dom0's code for each call so far. */
const work = () => {
  const path = `${harness.sim.root}/var/log/work`;
  return existsSync(path) ? readFileSync(path, 'utf8').trimEnd().split('\n').map(Number) : [];
};

/** The cost of one call. */
async function cost(call: () => Promise<unknown>): Promise<number> {
  const before = work().length;
  await call();
  await until(() => work().length > before);
  return work()[before]!;
}

// ATTACK 15
describe('time shows no difference between a missing name', () => {
  it.each(ASKED)('and a hidden, under-tier or removed one: %s', async (_what, ask, kinds) => {
    // The minimum of several: sometimes qmcpd reads its files in a call. The first ones are counted differently.
    const least = Object.fromEntries(kinds.map((kind) => [kind, Number.POSITIVE_INFINITY]));
    for (let round = -5; round < 15; round += 1)
      for (const kind of kinds) {
        const called = await cost(async () => expect(await ask(NAMES[kind])).toBe(NOT_FOUND));
        if (round >= 0) least[kind] = Math.min(least[kind]!, called);
      }
    const { missing, hidden } = least;
    expect(missing).toBeGreaterThan(1000);
    expect(hidden).toBe(missing);
    // A tag in a set more or less: about fifty instructions, one thousandth of a call.
    for (const kind of kinds) expect(Math.abs(least[kind]! - missing!), kind).toBeLessThan(50);
  });

  it('and an existing one for which qubesd itself takes longer', async () => {
    const { host } = harness.sim;
    const original = host.call.bind(host);
    onTestFinished(() => {
      host.call = original;
    });
    for (const name of ['no-such-qube', 'work'])
      for (const act of [
        () => start(name),
        () => harness.direct('qmcp.spawn.Create', '@adminvm', { name: 'ai-one', template: name }),
        () => harness.direct('qmcp.spawn.Restore', '@adminvm', { qube: name }),
      ]) {
        const [asked, slow] = [gate(), gate()];
        const formats: string[] = [];
        host.call = async (request) => {
          const reply = await original(request);
          formats.push(Buffer.from(reply).toString('latin1').split('\0')[0]!);
          // Its class; then, by its uuid, its tags.
          if (formats.length === 1) asked.open();
          await slow.opened;
          return reply;
        };
        let reply = '';
        const answered = act().then((said) => {
          reply = said;
        });
        // It waits for qubesd's reply about an existing qube, and never asks about a missing one.
        await Promise.race([asked.opened, answered]);
        await turn();
        expect([reply, formats]).toEqual(['', ['0']]);
        slow.open();
        await answered;
        expect([reply, formats]).toEqual([NOT_FOUND, ['0', '0']]);
      }
  });

  it('and one that another world is using', async () => {
    await harness.operator('admin.vm.Create.AppVM', 'dom0', 'debian-13', 'name=lab-one label=red');
    for (const tag of ['lab-managed', 'lab-full']) await harness.operator('admin.vm.tag.Set', 'lab-one', tag);
    await harness.operator('admin.vm.property.Set', 'lab-one', 'netvm', '');
    await eventually(() => harness.direct('qmcp.inspect.List', '@adminvm', {}, 'lab-control')).toContain(
      'lab-one',
    );
    const held = holdFirst(harness, 'admin.vm.Start');
    const theirs = start('lab-one', 'lab-control');
    await held.arrived;
    // If it waited for them, it would wait forever: they wait for us.
    expect(await start('lab-one')).toBe(NOT_FOUND);
    expect(await harness.direct('qmcp.spawn.Clone', '@adminvm', { source: 'lab-one', name: 'ai-one' })).toBe(
      NOT_FOUND,
    );
    held.release();
    expect(JSON.parse(await theirs)).toMatchObject({ ok: true });
  });
});
