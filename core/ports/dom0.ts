import { LIMITS } from '../api/generated/limits.js';
import { type Port, Refused, type Service } from '../api/index.js';
import { Compile } from '../vendor/typebox.js';
import { addressed, qubeName, requestedSeconds, resultOf } from './messages.js';
import type { Qrexec } from './qrexec.js';
import { requestOf } from './request.js';
import { lazily } from './values.js';

type Dom0Service = Extract<Service, { kind: 'target' | 'host' }>;

/**
 * The port of a service that dom0's kernel answers: a function from parameters to the reply's `result`. A target service is
 * called on its qube, every other service on `@adminvm`. `timeout` is seconds, besides the time the parameters ask for.
 */
export function dom0Port<S extends Dom0Service>(service: S, qrexec: Qrexec, timeout: number): Port<S> {
  const reply = lazily(() => Compile(service.reply));
  const call = async (target: string, called: string, params: unknown, signal?: AbortSignal) => {
    const result = await qrexec.call({
      target,
      service: called,
      stdin: requestOf(params),
      signal,
      timeout: timeout + requestedSeconds(params),
      maxBytes: LIMITS.reply_bytes,
    });
    const value = resultOf(result);
    if (!reply().Check(value)) throw new Refused('failed');
    return value;
  };
  const port =
    service.kind === 'host'
      ? (params: unknown, signal?: AbortSignal) => call('@adminvm', service.name, params, signal)
      : async (untrusted_qube: string, params: unknown, signal?: AbortSignal) => {
          const qube = qubeName(untrusted_qube);
          return call(qube, addressed(service.name, qube), params, signal);
        };
  return port as unknown as Port<S>;
}
