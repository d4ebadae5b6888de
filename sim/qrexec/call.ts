/** One qrexec call, from the caller's side. */
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
  /** If it returns a promise, the sender waits for it, because the caller reads slowly. */
  drained?(): Promise<void> | undefined;
  /** Called when the policy allows the call; from then on, it is between the caller and the service. */
  accepted?(): void;
  /** Aborted when the caller disconnects. This closes the pipes of the service and does not end it. */
  readonly signal: AbortSignal;
}

/** The caller's view of a call that did not reach a service. */
export const REFUSED = 126;
export const NO_SUCH_SERVICE = 127;
export const CANNOT_RUN = 125;

const SERVICE_CHARACTERS = /[^A-Za-z0-9._+-]/g;
const TARGET_CHARACTERS = /[^A-Za-z0-9._@:-]/g;
/**
 * The maximum bytes of service and argument together. Near this limit the real qrexec was seen to hang; here the call is
 * dropped.
 */
const MAX_SERVICE = 4000;
/** The caller's side truncates a longer one. */
const MAX_TARGET = 63;

export interface SanitisedCall {
  readonly service: string;
  /** Without its `+`. */
  readonly argument: string;
  readonly target: string;
}

/** Sanitises a caller's words before any check; undefined for a call to drop. */
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

/** Splits `SERVICE+ARGUMENT`; without a plus, the argument is empty. */
export function serviceOf(called: string): { service: string; argument: string } {
  const plus = called.indexOf('+');
  return plus < 0
    ? { service: called, argument: '' }
    : { service: called.slice(0, plus), argument: called.slice(plus + 1) };
}

/** One character for each byte: every byte that is not ASCII becomes one underscore. */
const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
