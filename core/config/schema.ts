import { type Static, Type } from '../vendor/typebox.js';
import { PRESETS } from './defaults.js';

const closed = { additionalProperties: false };
const ToolPattern = Type.String({
  pattern: '^[a-z0-9_*]+$',
  description: 'The name of a tool; * stands for any part of it.',
  errorMessage: 'expected the name of a tool, * for any part of it',
});
const Reference = Type.String({
  minLength: 1,
  errorMessage: 'expected a name, or a path that starts with ./ or /',
});

/** The configuration file. Everything in it can only narrow what dom0 allows. */
export const ConfigFile = Type.Object(
  {
    $schema: Type.Optional(Type.String({ description: 'For editors.' })),
    extends: Type.Optional(
      Type.Union([Reference, Type.Array(Reference)], {
        errorMessage: 'expected the name of a preset, a path, or a list of those',
        description: `Presets to start from: ${PRESETS.join(', ')}, or the path of another file. If several set a key, the last one wins; this file wins over all of them.`,
      }),
    ),
    plugins: Type.Optional(
      Type.Array(Reference, {
        uniqueItems: true,
        description:
          'Plugins to load: a built-in id, a package name, or a path from the config file’s folder.',
      }),
    ),
    options: Type.Optional(
      Type.Record(Type.String(), Type.Object({}), {
        description: 'Options of plugins, by plugin id; each plugin defines its own.',
        errorMessage: 'expected the ids of plugins, each with its options',
      }),
    ),
    onRefusal: Type.Optional(
      Type.Enum(['exit', 'skip'], {
        description:
          'If dom0 lacks something that a plugin declares: do not start (exit), or start without that plugin (skip).',
      }),
    ),
    readOnly: Type.Optional(Type.Boolean({ description: 'Serve only the tools that change nothing.' })),
    pinned: Type.Optional(
      Type.Boolean({
        description:
          'Start only with a qmcp.lock.json beside this file. A lock file is always used if it exists; with this setting, a missing one is an error.',
      }),
    ),
    tools: Type.Optional(
      Type.Object(
        {
          include: Type.Optional(Type.Array(ToolPattern, { description: 'Serve only these.' })),
          exclude: Type.Optional(
            Type.Array(ToolPattern, { description: 'Never serve these; wins over include.' }),
          ),
          schemas: Type.Optional(
            Type.Enum(['full', 'lean'], {
              description:
                'The schemas that a client gets: complete, with a description of every argument (full), or the least that a model needs, in under half of the tokens (lean). Calls are checked in the same way.',
            }),
          ),
        },
        closed,
      ),
    ),
    qrexec: Type.Optional(
      Type.Object(
        {
          client: Type.Optional(
            Type.String({
              minLength: 1,
              description: 'The qrexec client: a path, or a name found in PATH.',
              errorMessage: 'expected a path, or a name found in PATH',
            }),
          ),
          timeout: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 3600,
              description: 'Seconds a call may take, besides the time its parameters ask for.',
            }),
          ),
          concurrent: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 1000,
              description:
                'The most calls to dom0 in progress at once; further calls wait. Set it to concurrent_calls of the world in dom0’s qmcp.toml, unless dom0 tells the number itself.',
            }),
          ),
        },
        closed,
      ),
    ),
  },
  closed,
);
export type ConfigFile = Static<typeof ConfigFile>;
