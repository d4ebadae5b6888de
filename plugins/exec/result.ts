import { decodeVisible, GuestText, type Static, Type, Untrusted } from '../../core/api/index.js';
import { completeLength, completeStart, LOOK_BACK } from './bytes.js';
import type { CommandRecord, Outcome, StreamBuffer } from './output-store.js';
import { Outcome as OutcomeShape } from './services.js';

export const Handle = Type.String({ pattern: '^[a-zA-Z][a-zA-Z0-9_.-]*:[a-z0-9]+$', maxLength: 64 });

/** Bytes of a stream that a result shows, and of a longer stream how many of them are its end. */
const MAX_SHOWN = 16_384;
const MAX_SHOWN_END = 4096;

const Fields = {
  ...OutcomeShape,
  /** Set if the command goes on in the background. */
  running: Type.Optional(Type.Boolean()),
  stdout: GuestText,
  stderr: GuestText,
  /** Set if a stream is longer than what is shown; the handle gives access to the rest. */
  stdout_end: Type.Optional(GuestText),
  stderr_end: Type.Optional(GuestText),
  /** Set if the text differs from the bytes: invisible characters were removed, or it was not valid UTF-8. */
  altered: Type.Optional(Type.Boolean()),
  /** The handle of the output, or of a background command. */
  handle: Type.Optional(Handle),
  /** The name of a disposable that could not be removed. */
  left_behind: Type.Optional(Type.String()),
  untrusted: Untrusted,
};

export const RunResult = Type.Object(Fields, { additionalProperties: false });
export type RunResult = Static<typeof RunResult>;

/** The result of a command, with as much of its output as a model reads at once. */
export function resultOf(
  record: CommandRecord,
  { exit, signal, timed_out }: Outcome,
  shown = MAX_SHOWN,
): RunResult {
  const out = partsOf(record.stdout, shown);
  const err = partsOf(record.stderr, shown);
  const altered = [...Object.values(out), ...Object.values(err)].some((part) => part?.altered);
  const fields = { stdout: out.begin, stdout_end: out.end, stderr: err.begin, stderr_end: err.end };
  const given = Object.entries(fields).filter(([, part]) => part !== undefined);
  return {
    exit,
    signal,
    timed_out,
    ...(Object.fromEntries(given.map(([name, part]) => [name, part!.text])) as {
      stdout: string;
      stderr: string;
    }),
    ...(altered && { altered }),
    ...(!record.isEmpty && { handle: record.handle }),
    untrusted: given.map(([name]) => name),
  };
}

function partsOf(stream: StreamBuffer, shown: number) {
  if (stream.printed <= shown) return { begin: decodeVisible(stream.page(0, shown)), end: undefined };
  const begin = stream.page(0, shown - MAX_SHOWN_END);
  return {
    begin: decodeVisible(begin.subarray(0, completeLength(begin))),
    end: decodeVisible(endOf(stream, MAX_SHOWN_END)),
  };
}

/** The last bytes of a stream, at most `limit`, from one on that does not complete what was left out. */
export function endOf(stream: StreamBuffer, limit: number): Uint8Array {
  const bytes = stream.last(limit + LOOK_BACK);
  const cut = Math.max(bytes.length - limit, 0);
  return bytes.subarray(stream.printed > limit ? completeStart(bytes, cut) : cut);
}
