/**
 * Questions of tools to the person at the client. A call that needs an answer ends, and the client calls again with the answer and with the answers
 * before it: they are in its hands, signed, so that the server keeps nothing for a call that may never come.
 */
import { randomBytes } from 'node:crypto';
import type { InputRequired } from '../api/index.js';
import { createRequestStateCodec, inputRequired, type ServerContext } from '../vendor/mcp.js';

/** The answers of one call so far. */
interface Answered {
  readonly tool: string;
  readonly answers: Readonly<Record<string, unknown>>;
}

/** What one process has signed, no other one takes; nor is it good for another client. */
const codec = createRequestStateCodec<Answered>({
  key: randomBytes(32),
  bind: ({ http }) => http?.authInfo?.clientId ?? '',
});

/** Checks what comes back, for the SDK, which refuses the call if that fails. */
export const requestState = { verify: codec.verify };

/** The answers to the questions of a tool: those that came with the request, and those before them. */
export function answersIn(tool: string, { mcpReq }: ServerContext): Answered['answers'] {
  const state = mcpReq.requestState<Answered>();
  const before = state?.tool === tool ? state.answers : {};
  return { ...before, ...mcpReq.inputResponses };
}

/** Tells the client to ask its person, and to call again. The SDK asks a client of the 2025 era itself. */
export async function questionOf(
  { asked, question: { message, answer } }: InputRequired,
  tool: string,
  context: ServerContext,
) {
  const requestedSchema = JSON.parse(JSON.stringify(answer));
  return inputRequired({
    inputRequests: { [asked]: inputRequired.elicit({ message, requestedSchema }) },
    requestState: await codec.mint({ tool, answers: answersIn(tool, context) }, context),
  });
}
