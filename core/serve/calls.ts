import { Refused, type Session } from '../api/index.js';
import { inScope } from '../ports/scope.js';

/** The most calls that are kept, of one session and of all together. The oldest one that has ended makes room. */
const MAX_KEPT = { session: 64, all: 256 };
/** Milliseconds for which a call that has ended is kept. */
export const KEPT_MILLISECONDS = 3_600_000;

type Result = Readonly<Record<string, unknown>>;

/** How a call ended. */
export type Outcome =
  | { readonly kind: 'result'; readonly result: Result }
  | { readonly kind: 'refused'; readonly refusal: Refused }
  | { readonly kind: 'stopped' };

/** A call that goes on without the request that began it. */
export class BackgroundCall {
  /** Resolves when the call has ended in any way. */
  readonly ended: Promise<Outcome>;
  outcome: Outcome | undefined;
  /** The latest message of its progress. */
  private message: string | undefined;
  private readonly controller = new AbortController();
  private waitingFor: () => string | undefined = () => undefined;

  constructor(
    readonly handle: string,
    readonly tool: string,
    readonly session: Session,
    readonly begun: number,
    readonly now: () => number,
    work: (context: { signal: AbortSignal; progress(message: string): void }) => Promise<Result>,
  ) {
    const { signal } = this.controller;
    const progress = (message: string) => {
      this.message = message;
      this.changed = this.now();
    };
    this.changed = begun;
    this.ended = inScope(session, (scope) => {
      this.waitingFor = () => scope.waitingFor;
      return work({ signal, progress });
    }).then(
      (result) => this.end({ kind: 'result', result }),
      (error: unknown) =>
        this.end(
          signal.aborted
            ? { kind: 'stopped' }
            : { kind: 'refused', refusal: error instanceof Refused ? error : new Refused('failed') },
        ),
    );
  }

  /** When it last said something, in milliseconds. */
  changed: number;

  /** How far it is: what it said last, or else what it waits for. */
  get status(): string {
    return this.message ?? `waiting for ${this.waitingFor() ?? 'the tool'}`;
  }

  /** The work may go on for a moment; `ended` tells when it is over. */
  stop(): void {
    this.controller.abort();
  }

  private end(outcome: Outcome): Outcome {
    this.outcome = outcome;
    this.changed = this.now();
    return outcome;
  }
}

/**
 * Keeps the calls that go on in the background. A call belongs to the session that began it: to any other, there is none. Nobody
 * can guess a handle, because several clients may share one session.
 */
export class BackgroundCalls {
  private readonly calls = new Map<string, BackgroundCall>();
  private readonly anonymous: Session = {};

  constructor(private readonly now = () => Date.now()) {}

  /** Throws `busy` if too many calls are in progress. */
  begin(
    tool: string,
    session: Session = this.anonymous,
    work: ConstructorParameters<typeof BackgroundCall>[5],
  ): BackgroundCall {
    this.makeRoom(session);
    const call = new BackgroundCall(`call-${crypto.randomUUID()}`, tool, session, this.now(), this.now, work);
    this.calls.set(call.handle, call);
    return call;
  }

  find(handle: string, session: Session = this.anonymous): BackgroundCall | undefined {
    const call = this.calls.get(handle);
    return call?.session === session ? call : undefined;
  }

  /** Those of one session, the oldest first. */
  of(session: Session = this.anonymous): BackgroundCall[] {
    return [...this.calls.values()].filter((call) => call.session === session);
  }

  /** Stops the calls of one session, or all, and waits until they have ended. */
  async stop(session?: Session): Promise<void> {
    const calls = session === undefined ? [...this.calls.values()] : this.of(session);
    for (const call of calls) call.stop();
    await Promise.all(calls.map((call) => call.ended));
    for (const call of calls) this.calls.delete(call.handle);
  }

  private makeRoom(session: Session): void {
    const ended = ({ outcome, changed }: BackgroundCall, than: number) =>
      outcome !== undefined && changed <= than;
    const old = this.now() - KEPT_MILLISECONDS;
    for (const call of this.calls.values()) if (ended(call, old)) this.calls.delete(call.handle);
    for (const [kept, most] of [
      [() => this.of(session), MAX_KEPT.session],
      [() => [...this.calls.values()], MAX_KEPT.all],
    ] as const) {
      const calls = kept();
      if (calls.length < most) continue;
      const oldest = calls.find((call) => call.outcome !== undefined);
      if (oldest === undefined) throw new Refused('busy');
      this.calls.delete(oldest.handle);
    }
  }
}
