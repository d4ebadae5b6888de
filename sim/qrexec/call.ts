/** One qrexec call, as the side that makes it sees it. */
export interface Call {
  readonly source: string;
  /** As the caller wrote it: a name, `@adminvm`, `@dispvm`, `@dispvm:NAME`, or empty for `@default`. */
  readonly target: string;
  /** `SERVICE` or `SERVICE+ARGUMENT`. */
  readonly service: string;
}

export interface CallIo {
  readonly stdin: AsyncIterable<Uint8Array>;
  stdout(bytes: Uint8Array): void;
  stderr(bytes: Uint8Array): void;
  /** Aborted when the caller is gone. That stops no service; it only takes its pipes away. */
  readonly signal: AbortSignal;
}

/** What a caller sees of a call that did not get to a service. */
export const REFUSED = 126;
export const NO_SUCH_SERVICE = 127;
export const CANNOT_RUN = 125;

const SERVICE_CHARACTERS = /[^A-Za-z0-9._+-]/g;
const TARGET_CHARACTERS = /[^A-Za-z0-9._@:+-]/g;
/** Bytes of service and argument together. */
const MAX_SERVICE = 255;

export interface Sanitised {
  readonly service: string;
  /** Without its `+`. */
  readonly argument: string;
  readonly target: string;
}

/** What the daemon makes of a caller's words before anything looks at them; undefined for what it drops. */
export function sanitised({ service, target }: Call): Sanitised | undefined {
  if (Buffer.byteLength(service) > MAX_SERVICE) return undefined;
  const clean = service.replace(SERVICE_CHARACTERS, '_');
  const plus = clean.indexOf('+');
  const name = plus < 0 ? clean : clean.slice(0, plus);
  if (name === '') return undefined;
  return {
    service: name,
    argument: plus < 0 ? '' : clean.slice(plus + 1),
    target: target.replace(TARGET_CHARACTERS, '_') || '@default',
  };
}
