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
  /** What to wait for before sending more, while the caller is slow to take what it was sent. */
  drained?(): Promise<void> | undefined;
  /** The policy lets the call through; from here on it is between the caller and the service. */
  accepted?(): void;
  /** Aborted when the caller is gone. That stops no service; it only takes its pipes away. */
  readonly signal: AbortSignal;
}

/** What a caller sees of a call that did not get to a service. */
export const REFUSED = 126;
export const NO_SUCH_SERVICE = 127;
export const CANNOT_RUN = 125;

const SERVICE_CHARACTERS = /[^A-Za-z0-9._+-]/g;
const TARGET_CHARACTERS = /[^A-Za-z0-9._@:-]/g;
/** Bytes of service and argument together. Near this the real thing was seen to hang; here the call is dropped. */
const MAX_SERVICE = 4000;
/** The caller's end cuts a longer one off. */
const MAX_TARGET = 63;

export interface SanitisedCall {
  readonly service: string;
  /** Without its `+`. */
  readonly argument: string;
  readonly target: string;
}

/** What the daemon makes of a caller's words before anything looks at them; undefined for what it drops. */
export function sanitised({ service, target }: Call): SanitisedCall | undefined {
  const asked = bytesOf(service);
  if (asked.length > MAX_SERVICE) return undefined;
  const called = serviceOf(asked.replace(SERVICE_CHARACTERS, '_'));
  if (called.service === '') return undefined;
  return {
    ...called,
    target: bytesOf(target).slice(0, MAX_TARGET).replace(TARGET_CHARACTERS, '_') || '@default',
  };
}

/** `SERVICE+ARGUMENT` in its two parts; without a plus the argument is empty. */
export function serviceOf(called: string): { service: string; argument: string } {
  const plus = called.indexOf('+');
  return plus < 0
    ? { service: called, argument: '' }
    : { service: called.slice(0, plus), argument: called.slice(plus + 1) };
}

/** One character for each byte: every byte of what is not ASCII becomes an underscore of its own. */
const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
