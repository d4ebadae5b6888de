import { createHash } from 'node:crypto';
import canonicalize from 'canonicalize';
import { TIER_NAMES } from '../api/generated/names.js';
import type { Tier } from '../api/names.js';
import type { Plugin } from '../api/plugin.js';
import type { Effect, Service } from '../api/service.js';
import type { Step } from '../api/steps.js';

// The package is CommonJS and its types describe an ES default export.
const jcs = canonicalize as unknown as (value: unknown) => string | undefined;

/** The version of the contract format; `dom0/settings/contracts.py` accepts exactly this one. */
export const CONTRACT_FORMAT = 1;

/**
 * A service as dom0 reads it: data, never code. `route` says who answers: `dom0` (the kernel interprets `steps`) or
 * `qube` (a guest service; only the policy decides about it). `target` is null for a service called on `@adminvm`.
 */
export interface Contract {
  readonly format: typeof CONTRACT_FORMAT;
  readonly service: string;
  readonly plugin: string;
  readonly effect: Effect;
  readonly route: 'dom0' | 'qube';
  readonly target: { readonly capability: string } | null;
  readonly qubes: Readonly<Record<string, string>>;
  readonly params: unknown;
  readonly invariants: readonly { readonly id: string; readonly with: Readonly<Record<string, unknown>> }[];
  readonly calls: readonly string[];
  readonly steps: readonly Step[];
  readonly reply: unknown;
}

export function contractOf(plugin: Plugin, service: Service): Contract {
  const contract: Contract = {
    format: CONTRACT_FORMAT,
    service: service.name,
    plugin: plugin.id,
    effect: service.effect,
    route: service.kind === 'guest' ? 'qube' : 'dom0',
    target: 'capability' in service ? { capability: TIER_NAMES[service.capability] } : null,
    qubes: service.kind === 'guest' ? {} : tiersOf(service.qubes),
    params: service.params,
    invariants: service.invariants.map(({ id, with: parameters }) => ({ id, with: parameters })),
    calls: service.kind === 'guest' ? [] : [...service.calls].sort(),
    steps: service.kind === 'guest' ? [] : service.steps,
    reply: service.reply,
  };
  return JSON.parse(canonical(contract)) as Contract;
}

/** The names of tiers, as dom0 has them. */
const tiersOf = (qubes: Readonly<Record<string, Tier>>): Record<string, string> =>
  Object.fromEntries(Object.entries(qubes).map(([name, tier]) => [name, TIER_NAMES[tier]]));

/** The canonical JSON of RFC 8785, so that dom0 and the plugin's author digest the same bytes. */
export function canonical(value: unknown): string {
  const text = jcs(value);
  if (text === undefined) throw new TypeError('a contract must be JSON');
  return text;
}

/** `sha256:` and the hex digest of the contract's canonical form. */
export function digestOf(contract: Contract): string {
  return `sha256:${createHash('sha256').update(canonical(contract), 'utf8').digest('hex')}`;
}
