/*
 * What a configuration is and what it is when nobody says anything. Apart from its schema, which takes a while to load and is
 * needed only when somebody says something.
 */

/** The presets that ship, each a file in config/ of this package. */
export const PRESETS = ['read-only', 'developer', 'disposable-lab', 'audit'] as const;

/** The configuration with every question answered. */
export interface Config {
  readonly plugins: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly onRefusal: 'exit' | 'skip';
  readonly readOnly: boolean;
  readonly pinned: boolean;
  readonly tools: { readonly include: readonly string[]; readonly exclude: readonly string[] };
  readonly qrexec: { readonly client: string; readonly timeout: number };
  /** The file some of it came from, if any. */
  readonly file: string | undefined;
  /** Where each value came from, by its dotted path. */
  readonly origins: ReadonlyMap<string, Origin>;
}

/** Who said a value. */
export interface Origin {
  readonly kind: 'default' | 'preset' | 'file' | 'environment' | 'flag';
  /** As a person would point at it: `qmcp.config.yaml:3`, `QMCP_READ_ONLY`, `--read-only`, `preset audit`. */
  readonly text: string;
}

export const DEFAULTS = {
  plugins: ['inspect', 'spawn', 'exec', 'devices', 'egress', 'networking', 'events', 'storage'],
  options: {},
  onRefusal: 'exit',
  readOnly: false,
  pinned: false,
  tools: { include: ['*'], exclude: [] },
  // A cold start of a qube takes up to a minute on a laptop; twice that is a machine in trouble.
  qrexec: { client: 'qrexec-client-vm', timeout: 120 },
} as const satisfies Omit<Config, 'file' | 'origins'>;
