import { AsyncLocalStorage } from 'node:async_hooks';

/** The call of a tool, resource or prompt that is going on: for whom, and what it waits for. */
export interface CallScope {
  /** The client's session, by identity. */
  readonly session: object;
  waitingFor: string | undefined;
}

const scopes = new AsyncLocalStorage<CallScope>();

/** Runs the work of one call. Everything it starts finds the scope. */
export function inScope<T>(session: object, work: (scope: CallScope) => T): T {
  const scope: CallScope = { session, waitingFor: undefined };
  return scopes.run(scope, () => work(scope));
}

export const currentSession = (): object | undefined => scopes.getStore()?.session;

/** Does the work, and says of the current call that it waits for this until then. Work inside of it may say something better. */
export async function waitFor<T>(what: string, work: () => Promise<T>): Promise<T> {
  const scope = scopes.getStore();
  if (scope === undefined) return work();
  const before = scope.waitingFor;
  scope.waitingFor = what;
  try {
    return await work();
  } finally {
    scope.waitingFor = before;
  }
}
