/**
 * `replay FILE [--world NAME] [--api 4.x] [--all]`: replays a recording of real exchanges on a simulated host and prints how
 * many replies are identical, after the normalisation that `replay/normalise.ts` documents. Differences, and other actions on
 * the machine, go to standard error.
 */
import { parseArgs } from 'node:util';
import type { Api } from '../host/api.js';
import { loadHostSpec } from '../host-spec.js';
import { readRecording, releaseOf } from './replay/recording.js';
import { type Outcome, replay } from './replay/replay.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { world: { type: 'string' }, api: { type: 'string' } },
});
const [file] = positionals;
if (file === undefined || (values.api !== undefined && !['4.2', '4.3', '4.4'].includes(values.api))) {
  process.stderr.write('usage: replay FILE [--world NAME-OR-FILE] [--api 4.2|4.3|4.4]\n');
  process.exit(2);
}

const exchanges = readRecording(file);
const api = (values.api as Api | undefined) ?? releaseOf(exchanges, file);
const outcomes = await replay(exchanges, { api, world: loadHostSpec(values.world ?? 'recorded') });

for (const outcome of outcomes) {
  if (outcome.environment !== null)
    process.stderr.write(`${outcome.at}: changed on the machine: ${outcome.environment}\n`);
  if (!outcome.identical) process.stderr.write(difference(outcome));
}
process.stdout.write(
  `identical ${outcomes.filter(({ identical }) => identical).length} of ${outcomes.length}\n`,
);

function difference({ at, request, recorded, ours }: Outcome): string {
  const show = (text: string) => JSON.stringify(text.length > 400 ? window(text, recorded, ours) : text);
  return `${at}: ${show(request)}\n  recorded ${show(recorded)}\n  ours     ${show(ours)}\n`;
}

/** The first difference of long texts. */
function window(text: string, a: string, b: string): string {
  let at = 0;
  while (at < a.length && a[at] === b[at]) at++;
  return `…${text.slice(Math.max(0, at - 80), at + 200)}…`;
}
