import { GuestText, type Static, Type, Untrusted } from '../../core/api/index.js';
import { Digest } from './services.js';

const closed = { additionalProperties: false };

export const RunResult = Type.Object(
  {
    digest: Digest,
    steps: Type.Array(
      Type.Object(
        {
          number: Type.Integer(),
          state: Type.Enum(['done', 'failed']),
          /** Why it was refused. */
          code: Type.Optional(Type.String()),
          /** The answer of the service, as JSON. */
          result: Type.Optional(Type.String()),
          exit: Type.Optional(Type.Union([Type.Integer(), Type.Null()])),
          signal: Type.Optional(Type.Union([Type.String(), Type.Null()])),
          stdout: Type.Optional(GuestText),
          stderr: Type.Optional(GuestText),
        },
        closed,
      ),
    ),
    untrusted: Untrusted,
  },
  closed,
);
export type RunResult = Static<typeof RunResult>;
