/*
 * The shape and the defaults of a configuration. Its schema is in another file: it takes a while to load, and is needed only
 * if something is configured.
 */

/** The shipped presets, each a file in config/ of this package. */
export const PRESETS = ['read-only', 'developer', 'supervised', 'disposable-lab', 'audit'] as const;

/** A complete configuration. */
export interface Config {
  readonly plugins: readonly string[];
  readonly options: Readonly<Record<string, unknown>>;
  readonly onRefusal: 'exit' | 'skip';
  readonly readOnly: boolean;
  readonly pinned: boolean;
  readonly tools: {
    readonly include: readonly string[];
    readonly exclude: readonly string[];
    readonly schemas: 'full' | 'lean';
  };
  /** How to serve over HTTP: for whom, and under which address. */
  readonly http: {
    readonly tokenFile?: string;
    readonly oauth?: { readonly issuer: string; readonly jwks: string; readonly audience?: string };
    readonly tls?: { readonly certificate: string; readonly key: string };
    readonly publicUrl?: string;
    readonly origins: readonly string[];
    readonly state: 'own' | 'shared';
    readonly requestsPerMinute: number;
    readonly concurrentRequests: number;
  };
  readonly qrexec: { readonly client: string; readonly timeout: number; readonly concurrent: number };
  /** The configuration file, if there is one. */
  readonly file: string | undefined;
  /** The origin of each value, by its dotted path. */
  readonly origins: ReadonlyMap<string, Origin>;
}

/** Where a value comes from. */
export interface Origin {
  readonly kind: 'default' | 'preset' | 'file' | 'environment' | 'flag';
  /** As shown to a person: `qmcp.config.yaml:3`, `QMCP_READ_ONLY`, `--read-only`, `preset audit`. */
  readonly text: string;
}

export const DEFAULTS = {
  plugins: ['inspect', 'spawn', 'exec', 'devices', 'egress', 'networking', 'events', 'storage', 'plan'],
  options: {},
  onRefusal: 'exit',
  readOnly: false,
  pinned: false,
  tools: { include: ['*'], exclude: [], schemas: 'full' },
  http: { origins: [], state: 'own', requestsPerMinute: 1200, concurrentRequests: 64 },
  // A cold start of a qube takes up to a minute on a laptop; twice that means that something is wrong.
  qrexec: { client: 'qrexec-client-vm', timeout: 120, concurrent: 4 },
} as const satisfies Omit<Config, 'file' | 'origins'>;
