import { type Static, Type } from 'typebox';

const closed = { additionalProperties: false };
const ToolPattern = Type.String({
  pattern: '^[a-z0-9_*]+$',
  description: 'The name of a tool; * stands for any part of it.',
});

/** The config file. Everything in it can only narrow what dom0 allows. */
export const ConfigFile = Type.Object(
  {
    $schema: Type.Optional(Type.String({ description: 'For editors.' })),
    plugins: Type.Optional(
      Type.Array(Type.String({ minLength: 1 }), {
        description:
          'Plugins to load: a built-in id, a package name, or a path from the config file’s folder.',
      }),
    ),
    onRefusal: Type.Optional(
      Type.Enum(['exit', 'skip'], {
        description: 'When dom0 lacks what a plugin declares: do not start, or go on without that plugin.',
      }),
    ),
    readOnly: Type.Optional(Type.Boolean({ description: 'Serve only the tools that change nothing.' })),
    tools: Type.Optional(
      Type.Object(
        {
          include: Type.Optional(Type.Array(ToolPattern, { description: 'Serve only these.' })),
          exclude: Type.Optional(
            Type.Array(ToolPattern, { description: 'Never serve these; wins over include.' }),
          ),
        },
        closed,
      ),
    ),
    qrexec: Type.Optional(
      Type.Object(
        {
          client: Type.Optional(
            Type.String({ minLength: 1, description: 'The qrexec client: a path, or a name found in PATH.' }),
          ),
          timeout: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 3600,
              description: 'Seconds a call may take beyond what it asks for.',
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

/** The configuration with every question answered. */
export interface Config {
  readonly plugins: readonly string[];
  readonly onRefusal: 'exit' | 'skip';
  readonly readOnly: boolean;
  readonly tools: { readonly include: readonly string[]; readonly exclude: readonly string[] };
  readonly qrexec: { readonly client: string; readonly timeout: number };
  /** The file some of it came from, if any. */
  readonly file: string | undefined;
}

export const DEFAULTS: Config = {
  plugins: ['inspect', 'spawn', 'exec', 'devices', 'egress', 'networking', 'events', 'storage'],
  onRefusal: 'exit',
  readOnly: false,
  tools: { include: ['*'], exclude: [] },
  // A cold start of a qube takes up to a minute on a laptop; twice that is a machine in trouble.
  qrexec: { client: 'qrexec-client-vm', timeout: 120 },
  file: undefined,
};
