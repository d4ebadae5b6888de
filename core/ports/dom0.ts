import { isRefusalCode, type Port, QubeName, Refused, type Service } from '../api/index.js';
import { Compile } from '../vendor/typebox.js';
import type { Qrexec, QrexecResult } from './qrexec.js';

type Dom0Service = Extract<Service, { kind: 'target' | 'host' }>;

/** Bytes of a request: what qmcpd accepts. */
export const MAX_REQUEST = 65_536;
/** Bytes of a reply: a listing of some ten thousand qubes. */
const MAX_REPLY = 4_194_304;

const nameShape = Compile(QubeName);

/**
 * The port of a service that dom0's kernel answers: a function from parameters to the reply's `result`. A service of one
 * qube is called on that qube, every other on `@adminvm`. `timeout` is seconds, beyond what the parameters ask for.
 */
export function dom0Port<S extends Dom0Service>(service: S, qrexec: Qrexec, timeout: number): Port<S> {
  const reply = lazily(() => Compile(service.reply));
  const call = async (target: string, params: unknown, signal?: AbortSignal) => {
    const result = await qrexec.call({
      target,
      service: service.name,
      stdin: requestOf(params),
      signal,
      timeout: timeout + secondsAsked(params),
      maxBytes: MAX_REPLY,
    });
    const value = resultOf(result);
    if (!reply().Check(value)) throw new Refused('failed');
    return value;
  };
  const port =
    service.kind === 'host'
      ? (params: unknown, signal?: AbortSignal) => call('@adminvm', params, signal)
      : async (qube: string, params: unknown, signal?: AbortSignal) => call(qubeName(qube), params, signal);
  return port as unknown as Port<S>;
}

/** One JSON object, UTF-8. What is too long for the wire is refused here, on the bytes alone. */
export function requestOf(params: unknown): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(params));
  if (bytes.length > MAX_REQUEST) throw new Refused('invalid-request');
  return bytes;
}

/** A parameter called `timeout` or `seconds` is, by convention, seconds that the call itself may take. */
export function secondsAsked(params: unknown): number {
  const { timeout, seconds } = (params ?? {}) as { timeout?: unknown; seconds?: unknown };
  const asked = timeout ?? seconds;
  return typeof asked === 'number' && asked > 0 ? asked : 0;
}

/** A qube's name and nothing else: not `@adminvm`, not an option of the client. */
export function qubeName(untrusted_name: unknown): string {
  if (!nameShape.Check(untrusted_name)) throw new Refused('invalid-request');
  return untrusted_name;
}

/**
 * The reply's result, or the refusal it carries. Whatever went wrong on the way (denied, no such qube, silence, noise)
 * is `not-found`: a caller cannot tell a wall from an absence.
 */
export function resultOf({ ended, exit, stdout }: QrexecResult): unknown {
  if (ended === 'overflow') throw new Refused('failed');
  if (ended !== 'exit' || exit !== 0) throw new Refused('not-found');
  const untrusted_reply = parseLine(stdout);
  if (untrusted_reply === undefined) throw new Refused('not-found');
  return resultIn(untrusted_reply);
}

/** What one reply says, or the refusal it carries. */
export function resultIn(untrusted_reply: Record<string, unknown>): unknown {
  if (untrusted_reply.ok === true && 'result' in untrusted_reply) return untrusted_reply.result;
  const untrusted_error = untrusted_reply.error as { code?: unknown; data?: unknown } | null | undefined;
  if (untrusted_reply.ok !== false || !isRefusalCode(untrusted_error?.code)) throw new Refused('failed');
  const data = untrusted_error.data;
  throw isObject(data) ? new Refused(untrusted_error.code, data) : new Refused(untrusted_error.code);
}

/** The one object of a one-line reply, or undefined when the bytes are anything else. */
export function parseLine(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!text.endsWith('\n')) return undefined;
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A schema is compiled when it is first needed: most tools of a session are never called. */
export function lazily<T>(make: () => T): () => T {
  let made: { value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
