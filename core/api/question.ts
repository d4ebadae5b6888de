import type { Static, TObject } from '../vendor/typebox.js';
import { frozen } from './internal/frozen.js';

/** A question to the person at the client. The schema has only texts, numbers, booleans and enumerations. */
export interface Question<S extends TObject = TObject> {
  readonly message: string;
  readonly answer: S;
}

/** Asks the person at the client: see `RunContext.ask`. */
export type Ask = <S extends TObject>(name: string, question: Question<S>) => Static<S> | undefined;

/** The capabilities of clients that a tool can require. Clients without one do not get the tool. */
export const CLIENT_CAPABILITIES = frozen(['elicitation', 'sampling', 'roots'] as const);
export type ClientCapability = (typeof CLIENT_CAPABILITIES)[number];

/** Ends a call that needs an answer first. The client asks its person and calls again, with the answer. */
export class InputRequired extends Error {
  override readonly name = 'InputRequired';
  constructor(
    readonly asked: string,
    readonly question: Question,
  ) {
    super(`an answer to ${asked} is needed`);
  }
}
