import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { readRecording, releaseOf } from '../../sim/adminapi/replay/recording.js';
import { replay } from '../../sim/adminapi/replay/replay.js';
import { hearActions, parseEvents, readActions } from '../../sim/adminapi/replay/streams.js';
import { packageFile } from '../../sim/root.js';

const recording = (name: string) => packageFile('test', 'recordings', name);

/** For each recording, the exchanges that differ, with the accepted reason. */
const differences = JSON.parse(readFileSync(recording('differences.json'), 'utf8')) as Record<
  string,
  Record<string, string>
>;

describe('the simulated host answers like the recorded one', () => {
  for (const [file, release, share] of [
    ['adminapi-4.4.jsonl', '4.4', 0.97],
    ['adminapi-4.3.jsonl', '4.3', 0.95],
    ['adminapi-4.2.jsonl', '4.2', 0.95],
  ] as const) {
    test(`release ${release}: at least ${share * 100} in 100 replies are identical`, async () => {
      const exchanges = readRecording(recording(file));
      expect(releaseOf(exchanges, 'unnamed')).toBe(release);
      const outcomes = await replay(exchanges, { api: release });
      const different = outcomes.filter(({ identical }) => !identical);
      expect(outcomes.length).toBe(exchanges.length);
      expect(1 - different.length / outcomes.length).toBeGreaterThanOrEqual(share);
      // Every difference needs a reason in the file, and every reason needs its difference.
      expect(different.map(({ at }) => String(at))).toEqual(Object.keys(differences[file] ?? {}));
    });

    test(`release ${release}: the replies do not depend on the seed of the host`, async () => {
      const exchanges = readRecording(recording(file));
      const outcomes = await replay(exchanges, { api: release, seed: 4711 });
      expect(outcomes.filter(({ identical }) => !identical).map(({ at }) => String(at))).toEqual(
        Object.keys(differences[file] ?? {}),
      );
    });
  }
});

describe('a subscriber gets the events of the recorded host', async () => {
  const lines = readFileSync(recording('events-4.4.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { action: string; stream: string });
  const actions = readActions(recording('events-4.4.actions.json'));
  const heard = await hearActions(readRecording(recording('adminapi-4.4.jsonl')), actions);

  for (const [at, line] of lines.entries()) {
    test(`${at}: ${line.action}`, () => {
      expect(actions[at]?.action).toBe(line.action);
      const [theirs, ours] = [parseEvents(line.stream), parseEvents(heard[at]?.stream ?? '')];
      const shape = (events: typeof ours) =>
        events.map(({ subject, name, args }) => [
          subject.replace(/^disp\d+$/, 'disp#'),
          name,
          args.map(([key]) => key),
        ]);
      expect(shape(ours)).toEqual(shape(theirs));
      // The values must match too, except for the numbers of disposables, which must match one to one.
      expect(heard[at]?.translation.same(line.stream, heard[at]?.stream ?? '')).toBe(true);
    });
  }
});
