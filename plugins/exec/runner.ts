import { type GuestIo, inject, injectable, Refused, type ToolContext } from '../../core/api/index.js';
import { type CommandRecord, type Outcome, OutputStore } from './output-store.js';
import { OutputProgress } from './progress.js';

/** Follows a command in a qube: keeps its output, sends it as progress, and returns how the command ended. */
@injectable()
export class Runner {
  constructor(@inject(OutputStore) private readonly store: OutputStore) {}

  async follow<O extends Outcome>(
    qube: string,
    { signal, progress, session }: ToolContext,
    call: (io: GuestIo) => Promise<O>,
  ): Promise<{ readonly record: CommandRecord; readonly outcome: O | Outcome }> {
    const record = this.store.open(qube, session);
    const output = new OutputProgress(progress);
    progress(`handle ${record.handle}`);
    try {
      const outcome = await call({
        signal: AbortSignal.any([signal, record.stopping.signal]),
        onOutput: (stream, bytes) => {
          this.store.add(record, stream, bytes);
          output.add(stream, bytes);
        },
      });
      record.finish({ exit: outcome.exit, signal: outcome.signal, timed_out: outcome.timed_out });
      return { record: record, outcome };
    } catch (error) {
      const outcome = { exit: null, signal: 'SIGKILL', timed_out: false };
      record.finish(outcome);
      if (record.stopping.signal.aborted && !signal.aborted) return { record: record, outcome };
      // The output of a call that broke off may be useful. A refused call gets no handle: it must not reveal that a qube exists.
      if (error instanceof Refused && error.code === 'failed' && !record.isEmpty)
        throw new Refused('failed', { ...error.data, handle: record.handle });
      this.store.forget(record);
      throw error;
    } finally {
      output.end();
      if (record.isEmpty) this.store.forget(record);
    }
  }
}
