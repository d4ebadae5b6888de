import {
  type GuestIo,
  GuestText,
  inject,
  injectable,
  Refused,
  type Static,
  seen,
  type ToolContext,
  Type,
  Untrusted,
} from '../../core/api/index.js';
import { type Kept, KeptOutput, type KeptStream, type Outcome } from './kept.js';
import { OutputProgress } from './progress.js';
import { Outcome as OutcomeShape } from './services.js';

export const Handle = Type.String({ pattern: '^[a-zA-Z][a-zA-Z0-9_.-]*:[a-z0-9]+$', maxLength: 64 });

/** Bytes of a stream that a result shows: its beginning, and of a longer one its end as well. */
const SHOWN = 16_384;
const SHOWN_END = 4096;

const Fields = {
  ...OutcomeShape,
  /** Given when it goes on in the background. */
  running: Type.Optional(Type.Boolean()),
  stdout: GuestText,
  stderr: GuestText,
  /** Given when a stream is longer than is shown; what is between is read by the handle. */
  stdout_end: Type.Optional(GuestText),
  stderr_end: Type.Optional(GuestText),
  /** Given when the text leaves out what cannot be seen, or was no UTF-8. */
  altered: Type.Optional(Type.Boolean()),
  /** Of what was printed, and of a background command. */
  handle: Type.Optional(Handle),
  /** Given when a disposable could not be removed: its name. */
  left_behind: Type.Optional(Type.String()),
  untrusted: Untrusted,
};

export const RunResult = Type.Object(Fields, { additionalProperties: false });
export type RunResult = Static<typeof RunResult>;

/** Follows a command in a qube: keeps what it prints, tells of it while it runs, and says how it ended. */
@injectable()
export class Runner {
  constructor(@inject(KeptOutput) private readonly output: KeptOutput) {}

  async follow<O extends Outcome>(
    qube: string,
    { signal, progress }: ToolContext,
    call: (io: GuestIo) => Promise<O>,
  ): Promise<{ readonly kept: Kept; readonly outcome: O | Outcome }> {
    const kept = this.output.open(qube);
    const told = new OutputProgress(progress);
    progress(`handle ${kept.handle}`);
    try {
      const outcome = await call({
        signal: AbortSignal.any([signal, kept.stopping.signal]),
        onOutput: (stream, bytes) => {
          this.output.add(kept, stream, bytes);
          told.add(stream, bytes);
        },
      });
      kept.finish({ exit: outcome.exit, signal: outcome.signal, timed_out: outcome.timed_out });
      return { kept, outcome };
    } catch (error) {
      const outcome = { exit: null, signal: 'SIGKILL', timed_out: false };
      kept.finish(outcome);
      if (kept.stopping.signal.aborted && !signal.aborted) return { kept, outcome };
      // What broke off may be worth reading. What was refused is refused: of a qube that nobody may see, nothing else is told.
      if (error instanceof Refused && error.code === 'failed' && !kept.silent)
        throw new Refused('failed', { ...error.data, handle: kept.handle });
      this.output.forget(kept);
      throw error;
    } finally {
      told.end();
      if (kept.silent) this.output.forget(kept);
    }
  }
}

/** What a command printed, as much as is read at once. */
export function resultOf(kept: Kept, { exit, signal, timed_out }: Outcome, shown = SHOWN): RunResult {
  const out = partsOf(kept.stdout, shown);
  const err = partsOf(kept.stderr, shown);
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
    ...(!kept.silent && { handle: kept.handle }),
    untrusted: given.map(([name]) => name),
  };
}

function partsOf(stream: KeptStream, shown: number) {
  if (stream.printed <= shown) return { begin: seen(stream.page(0, shown)), end: undefined };
  return { begin: seen(stream.page(0, shown - SHOWN_END)), end: seen(stream.last(SHOWN_END)) };
}
