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

const Path = (description: string) =>
  Type.String({ minLength: 1, description, errorMessage: 'expected the path of a file' });
const Url = (description: string) =>
  Type.String({
    pattern: '^https?://[^/?#\\s]+([/?][^#\\s]*)?$',
    description,
    errorMessage: 'expected an address that starts with https://',
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
    http: Type.Optional(
      Type.Object(
        {
          tokenFile: Type.Optional(
            Path(
              'The tokens of clients, one on a line: NAME TOKEN, then read-only or tools=NAME,… to narrow it. Only its owner may have access to the file.',
            ),
          ),
          oauth: Type.Optional(
            Type.Object(
              {
                issuer: Url(
                  'The authorization server whose tokens are accepted: JWTs with the scope qmcp:read or qmcp:call.',
                ),
                jwks: Type.String({
                  minLength: 1,
                  description: 'The keys of the issuer: the path of a JWKS file, or its https address.',
                  errorMessage: 'expected a path, or an address that starts with https://',
                }),
                audience: Type.Optional(
                  Type.String({
                    minLength: 1,
                    description:
                      'What a token must be for; by default the address of this server, or publicUrl.',
                  }),
                ),
              },
              closed,
            ),
          ),
          tls: Type.Optional(
            Type.Object(
              {
                certificate: Path('The certificate of this server with those of its issuers, as PEM.'),
                key: Path('Its key, as PEM. Only its owner may have access to the file.'),
              },
              closed,
            ),
          ),
          publicUrl: Type.Optional(
            Url('The address of MCP at a proxy in front of this server. The proxy ends TLS.'),
          ),
          origins: Type.Optional(
            Type.Array(Url('An origin.'), {
              description: 'Origins of web pages that may call the server, such as https://app.example.',
            }),
          ),
          state: Type.Optional(
            Type.Enum(['own', 'shared'], {
              description:
                'Whether each client has its own output, background calls and handles (own), or all clients share them (shared).',
            }),
          ),
          requestsPerMinute: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 1_000_000,
              description: 'The most requests of one client in a minute.',
            }),
          ),
          concurrentRequests: Type.Optional(
            Type.Integer({
              minimum: 1,
              maximum: 10_000,
              description: 'The most requests of one client without an answer at once.',
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
                'The most calls to dom0 in progress at once; further calls wait. By default the number that dom0 tells: concurrent_calls of the world in qmcp.toml.',
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
