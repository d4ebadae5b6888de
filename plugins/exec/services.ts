import { defineGuestService, defineInvariant, Type } from '../../core/api/index.js';

export const policyClosed = defineInvariant('policy.closed', {
  statement:
    'A principal reaches only the services its lines name, on qubes of its world at the tier they ask for; a qube of the world reaches nothing but boot services.',
  enforcedBy: 'policy',
  // What a command does inside its qube is the agent's own affair; what it must not do is change the host's structure.
  holds: (before, after) => {
    const structure = (host: typeof before) =>
      JSON.stringify(
        host.qubes.map(({ name, klass, tags, properties }) => [name, klass, tags, properties.netvm]),
      );
    return structure(before) === structure(after);
  },
});

/** One command in one qube. The reply frames carry its output; this is the last frame. */
export const run = defineGuestService('qmcp.exec.Run', {
  effect: 'destroy',
  capability: 'exec',
  params: Type.Object(
    {
      command: Type.Union([
        Type.String({ minLength: 1, maxLength: 32_768 }),
        Type.Array(Type.String({ maxLength: 32_768 }), { minItems: 1, maxItems: 256 }),
      ]),
      cwd: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
      env: Type.Optional(
        Type.Record(Type.String({ pattern: '^[A-Za-z_][A-Za-z0-9_]*$' }), Type.String({ maxLength: 32_768 })),
      ),
      user: Type.Optional(Type.String({ pattern: '^[a-z_][a-z0-9_-]*$', maxLength: 32 })),
      timeout: Type.Optional(Type.Integer({ minimum: 1, maximum: 3600, description: 'seconds' })),
    },
    { additionalProperties: false },
  ),
  invariants: [policyClosed],
  reply: Type.Object(
    {
      /** The exit code, or null when a signal ended the command. */
      exit: Type.Union([Type.Integer(), Type.Null()]),
      signal: Type.Union([Type.String({ maxLength: 16 }), Type.Null()]),
      timed_out: Type.Boolean(),
    },
    { additionalProperties: false },
  ),
});
