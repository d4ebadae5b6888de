import { readFileSync } from 'node:fs';
import { parse } from 'smol-toml';
import { expect, test } from 'vitest';
import { exited } from '../../test/support/fake-host.js';
import { toolsOf } from '../../test/support/tools.js';
import events from './plugin.js';
import { KINDS } from './services.js';

type Told = [event: string, qube: string | null];
const watching = (...told: Told[]) =>
  toolsOf(events, {
    'qmcp.events.Watch': () =>
      exited(
        [['watching', null] as Told, ...told]
          .map(([event, qube]) => `${JSON.stringify({ ok: true, result: { event, qube } })}\n`)
          .join(''),
      ),
  });
const DAY: Told[] = [
  ['starting', 'ai-one'],
  ['nothing', null],
  ['starting', 'ai-two'],
  ['started', 'ai-two'],
  ['started', 'ai-one'],
];

test.each<[string, object, boolean, Told[]]>([
  ['any event', {}, true, [['starting', 'ai-one']]],
  ['an event of one qube', { qube: 'ai-two' }, true, [['starting', 'ai-two']]],
  ['one of several kinds', { kinds: ['started', 'start-failed'] }, true, [DAY[0]!, DAY[2]!, DAY[3]!]],
  ['one kind of event of one qube', { qube: 'ai-one', kinds: ['started'] }, true, [DAY[0]!, DAY[4]!]],
  ['an event that does not happen', { qube: 'ai-one', kinds: ['halted'] }, false, [DAY[0]!, DAY[4]!]],
])('event_wait for %s ends with that event or after the time', async (_what, asked, came, told) => {
  const tools = await watching(...DAY);
  expect(await tools.call('event_wait', { seconds: 30, ...asked })).toEqual({
    came,
    events: told.map(([event, qube]) => ({ event, qube })),
  });
  expect(tools.calls()).toEqual([['@adminvm', 'qmcp.events.Watch', { seconds: 30 }]]);
});

const START: Told[] = ['starting', 'resumed', 'started'].map((event) => [event, 'ai-one']);
test('event_wait reports the end of a pause as resumed, and a start only as started', async () => {
  const tools = await watching(...START, ['paused', 'ai-one'], ['resumed', 'ai-one']);
  expect(await tools.call('event_wait', { seconds: 30, kinds: ['resumed'] })).toEqual({
    came: true,
    events: ['starting', 'started', 'paused', 'resumed'].map((event) => ({ event, qube: 'ai-one' })),
  });
});

test('after a failed start, the end of a pause is reported again', async () => {
  const tools = await watching(['starting', 'ai-one'], ['start-failed', 'ai-one'], ['resumed', 'ai-one']);
  expect(await tools.call('event_wait', { seconds: 30, kinds: ['resumed'] })).toMatchObject({ came: true });
});

test('a client gets progress while it waits, and no events that it did not ask for', async () => {
  const tools = await watching(...DAY);
  await tools.call('event_wait', { seconds: 30, qube: 'ai-three' });
  expect(tools.progress).toEqual(['waiting', 'waiting']);
});

test('event_wait returns at most the last hundred events', async () => {
  const tools = await watching(...Array.from({ length: 150 }, (_, n): Told => ['changed', `ai-${n}`]));
  const { events: told } = (await tools.call('event_wait', { seconds: 1, kinds: ['left'] })) as {
    events: { qube: string }[];
  };
  expect([told.length, told[0]!.qube, told.at(-1)!.qube]).toEqual([100, 'ai-50', 'ai-149']);
});

test("the kinds of events are exactly dom0's", () => {
  const { event } = parse(readFileSync(new URL('../../dom0/spec/names.toml', import.meta.url), 'utf8')) as {
    event: Record<string, string>;
  };
  expect([...KINDS].sort()).toEqual([...new Set([...Object.values(event), 'appeared', 'left'])].sort());
});
