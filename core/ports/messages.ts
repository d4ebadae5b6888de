import { LIMITS } from '../api/generated/limits.js';
import { isRefusalCode, QubeName, Refused } from '../api/index.js';
import { Compile } from '../vendor/typebox.js';
import type { QrexecResult } from './qrexec.js';
import { isObject } from './values.js';

const nameShape = Compile(QubeName);

/** One JSON object, UTF-8. What is too long for the wire is refused here, on the bytes alone. */
export function requestOf(params: unknown): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(params));
  if (bytes.length > LIMITS.request_bytes) throw new Refused('invalid-request');
  return bytes;
}

/** A parameter called `timeout` or `seconds` is, by convention, seconds that the call itself may take. */
export function requestedSeconds(params: unknown): number {
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
