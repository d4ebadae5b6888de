import { isDom0Code, QubeName, Refused } from '../api/index.js';
import { Compile } from '../vendor/typebox.js';
import type { QrexecResult } from './qrexec.js';
import { isObject } from './values.js';

const nameShape = Compile(QubeName);

/** By convention, the parameter `timeout` or `seconds` is the number of seconds that the call itself may take. */
export function requestedSeconds(params: unknown): number {
  const { timeout, seconds } = (params ?? {}) as { timeout?: unknown; seconds?: unknown };
  const asked = timeout ?? seconds;
  return typeof asked === 'number' && asked > 0 ? asked : 0;
}

/** Accepts only the name of a qube: not `@adminvm`, and not an option of the client. */
export function qubeName(untrusted_name: unknown): string {
  if (!nameShape.Check(untrusted_name))
    throw new Refused('invalid-request', { problems: [{ at: '/', problem: 'must be the name of a qube' }] });
  return untrusted_name;
}

/**
 * The qrexec service and argument of a call on a qube. The argument names the qube, so that a question to the operator and the
 * policy's log say what the call is about. dom0 and the qube refuse another argument.
 */
export const addressed = (service: string, qube: string): string => `${service}+${qube}`;

/**
 * The reply's result. Throws the refusal it carries. Any failure on the way (denied, no such qube, an empty or a broken
 * answer) is `not-found`, so that a caller cannot distinguish a denied qube from a missing one. Neither of them is silent for
 * as long as a call may take: that is `no-answer`.
 */
export function resultOf({ ended, exit, stdout }: QrexecResult): unknown {
  if (ended === 'overflow') throw new Refused('failed');
  if (ended === 'timeout') throw new Refused('no-answer');
  if (ended !== 'exit' || exit !== 0) throw new Refused('not-found');
  const untrusted_reply = parseLine(stdout);
  if (untrusted_reply === undefined) throw new Refused('not-found');
  return resultIn(untrusted_reply);
}

/** The result of one reply. Throws the refusal it carries. */
export function resultIn(untrusted_reply: Record<string, unknown>): unknown {
  if (untrusted_reply.ok === true && 'result' in untrusted_reply) return untrusted_reply.result;
  const untrusted_error = untrusted_reply.error as { code?: unknown; data?: unknown } | null | undefined;
  if (untrusted_reply.ok !== false || !isDom0Code(untrusted_error?.code)) throw new Refused('failed');
  const data = untrusted_error.data;
  throw isObject(data) ? new Refused(untrusted_error.code, data) : new Refused(untrusted_error.code);
}

/** The object in a one-line reply, or undefined if the bytes are anything else. */
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
