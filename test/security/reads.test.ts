/** What an agent can see on a host that is full of what it may not see, also when a read fails. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';
import { everyReadOn } from './every-call.js';

const reads = everyReadOn('work');
let harness: Harness;
beforeAll(async () => {
  harness = await Harness.start();
  // A qube of the operator at full tier, all of whose references lead outside.
  for (const tag of ['ai-managed', 'ai-full']) await harness.operator('admin.vm.tag.Set', 'work', tag);
  for (const key of ['guivm', 'audiovm', 'management_dispvm', 'default_dispvm'])
    await harness.operator('admin.vm.property.Set', 'work', key, 'default-dvm');
  await harness.operator('admin.vm.feature.Set', 'work', 'operators-note', 'see vault at 10.137.0.9');
  await harness.operator(
    'admin.vm.firewall.Set',
    'work',
    '',
    'action=accept dsthost=intranet.example comment=ours\naction=drop\n',
  );
});
afterAll(() => harness.close());

/** The number of recent calls does not matter here. */
const ask = async ({ service, target, payload }: (typeof reads)[number]) =>
  (await harness.direct(service, target, payload)).replace(/\{[^{}]*"calls_per_minute"[^{}]*\},/, '');

/** Everything outside, by name, and what qubesd says about where and how things are stored. */
function secrets(): RegExp {
  const { qubes } = harness.sim.host.snapshot();
  const seen = new Set(['work', 'ai-debian', 'sys-ai-net']);
  const names = qubes.flatMap(({ name }) => (seen.has(name) ? [] : [name]));
  const words = [
    '10\\.13[789]\\.',
    'vm-pool',
    '/var/lib',
    'intranet',
    'operators-note',
    'Traceback',
    'Error',
  ];
  return new RegExp([...names.map((name) => `\\b${name}\\b`), ...words].join('|'));
}

// ATTACK 4
describe('no read of a qube names an outside qube, its place, or how it is stored:', () => {
  for (const read of reads)
    it(read.service, async () => {
      const reply = await ask(read);
      expect(reply).toMatch(/^\{"ok":true/);
      expect(reply).not.toMatch(secrets());
      expect(reply).not.toMatch(/ai-full|ai-guard|created-by|ai-born/);
    });

  it('qubesd itself names those in what it says of that qube, so the control works', async () => {
    const all = await harness.operator('admin.vm.property.GetAll', 'work');
    expect(all).toMatch(/netvm .*sys-firewall/);
    expect(all).toMatch(/visible_gateway .*10\.13/);
    expect(all).toMatch(/default_dispvm .*default-dvm/);
    expect(await harness.operator('admin.vm.volume.Info', 'work', 'private')).toMatch(/path=\/var\/lib/);
  });
});

const SECRET = 'vault, sys-firewall: varlibqubes:/var/lib/qubes at 10.137.0.9';
const FAULTS: Record<string, () => Uint8Array> = {
  'an error': () => Buffer.from(`2\0QubesException\0Traceback: ${SECRET}\0${SECRET}\0`),
  'an empty reply': () => new Uint8Array(),
  'no such qube, all of a sudden': () => Buffer.from(`2\0QubesVMNotFoundError\0\0No such domain: 'vault'\0`),
};

// ATTACK 12, ATTACK 17
describe('when any one call to qubesd fails, a read is refused, and never answered as if it were empty:', () => {
  for (const read of reads.filter(({ service }) => service !== 'qmcp.events.Watch'))
    it(read.service, async () => {
      const { host } = harness.sim;
      const original = host.call.bind(host);
      const during = async (nth: number, fault: () => Uint8Array) => {
        let seen = 0;
        host.call = (request) => (++seen === nth ? Promise.resolve(fault()) : original(request));
        try {
          return { reply: await ask(read), calls: seen };
        } finally {
          host.call = original;
        }
      };
      const { reply: whole, calls } = await during(0, FAULTS['an error']!);
      const wrong: string[] = [];
      for (const [what, fault] of Object.entries(FAULTS))
        for (let nth = 1; nth <= calls; nth++) {
          const { reply } = await during(nth, fault);
          const right =
            reply === whole || /^\{"error":\{"code":"(failed|not-found)"\},"ok":false\}\n$/.test(reply);
          // A qube that was removed is left out of a list; a reference that leads nowhere is none of the caller's business.
          const gone = what.startsWith('no such') && /^\{"ok":true/.test(reply) && !secrets().test(reply);
          if (!right && !gone) wrong.push(`${what} at call ${nth}: ${reply}`);
        }
      expect(wrong).toEqual([]);
      expect(await ask(read)).toBe(whole);
    });
});
