import { type Contract, installedContracts } from './noninterference/calls.js';

/** Valid parameters for a call of any installed service. */
const SAID: Readonly<Record<string, unknown>> = {
  name: 'ai-new',
  template: 'ai-debian',
  source: 'ai-debian',
  qube: 'ai-debian',
  backend: 'ai-debian',
  class: 'block',
  device: 'sda',
  feature: 'x-note',
  size: 2 ** 34,
  rules: [],
  seconds: 1,
  digest: '0'.repeat(64),
  number: 1,
  plan: '{}',
};

export interface EveryCall {
  readonly service: string;
  readonly effect: Contract['effect'];
  readonly target: string;
  readonly payload: Record<string, unknown>;
}

/**
 * A well-formed call of every installed service that dom0 answers, one for each parameter that names a qube of the caller's:
 * with `name` in that place and `others` in the rest. A new service is included when it is installed.
 */
export function everyCallOn(name: string, others = 'ai-debian'): EveryCall[] {
  return installedContracts()
    .filter(({ route }) => route === 'dom0')
    .flatMap(({ service, effect, target, qubes, params, steps }) => {
      const payload: Record<string, unknown> = {};
      for (const key of params.required ?? []) {
        if (!(key in SAID)) throw new Error(`${service} takes ${key}: say something for it in SAID`);
        payload[key] = SAID[key];
      }
      const named = [
        ...Object.keys(qubes),
        ...steps.flatMap((one) => (one.do === 'restore' ? [one.with.qube!.slice(1)] : [])),
      ];
      for (const key of named) payload[key] = others;
      const on = (other: string) => (target === null ? '@adminvm' : other);
      const calls = named.map((key) => ({
        service,
        effect,
        target: on(others),
        payload: { ...payload, [key]: name },
      }));
      return target === null ? calls : [...calls, { service, effect, target: name, payload }];
    });
}

/** A well-formed call of every service that only reads, on that qube or without a target. */
export function everyReadOn(name: string): EveryCall[] {
  return installedContracts()
    .filter(({ route, effect }) => route === 'dom0' && effect === 'read')
    .map(({ service, effect, target, params }) => ({
      service,
      effect,
      target: target === null ? '@adminvm' : name,
      payload: Object.fromEntries((params.required ?? []).map((key) => [key, SAID[key]])),
    }));
}
