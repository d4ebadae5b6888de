import type { Static, TSchema } from 'typebox';
import type { Invariant } from './invariant.js';
import type { Tier } from './names.js';
import { callsOf, type Step } from './steps.js';

/** What a service does to the host: looks, changes something that can be put back, or ends something. */
export type Effect = 'read' | 'write' | 'destroy';

interface ServiceBase<P extends TSchema, R extends TSchema> {
  /** `qmcp.<plugin>.<Verb>`: the qrexec service name, and the name of its contract. */
  readonly name: `qmcp.${string}.${string}`;
  readonly effect: Effect;
  readonly params: P;
  readonly reply: R;
  readonly invariants: readonly Invariant[];
}

/** Called on one qube; policy redirects it to dom0, so an operator can turn the line into `ask` for that qube. */
export interface TargetService<P extends TSchema = TSchema, R extends TSchema = TSchema>
  extends ServiceBase<P, R> {
  readonly kind: 'target';
  /** The least tier the target must have. */
  readonly capability: Tier;
  readonly qubes: Readonly<Record<string, Tier>>;
  /** The Admin API methods dom0 lets it use; everything its steps may use, unless it says less. */
  readonly calls: readonly string[];
  readonly steps: readonly Step[];
}

/** Called on `@adminvm`: no target qube, or several, named in the parameters. */
export interface HostService<P extends TSchema = TSchema, R extends TSchema = TSchema>
  extends ServiceBase<P, R> {
  readonly kind: 'host';
  /** Parameters that name qubes, each with the least tier that qube must have. */
  readonly qubes: Readonly<Record<string, Tier>>;
  readonly calls: readonly string[];
  readonly steps: readonly Step[];
}

/** As a host service, and it answers until its time is over: every line of it is one `reply`. It has one step, a streaming one. */
export interface StreamService<P extends TSchema = TSchema, R extends TSchema = TSchema>
  extends Omit<HostService<P, R>, 'kind'> {
  readonly kind: 'stream';
}

/** Runs inside the target qube. dom0 never sees its bytes; the policy alone decides, so it has no steps. */
export interface GuestService<P extends TSchema = TSchema, R extends TSchema = TSchema>
  extends ServiceBase<P, R> {
  readonly kind: 'guest';
  readonly capability: Tier;
}

export type Service = TargetService | HostService | StreamService | GuestService;

type Defined<S, Defaulted extends keyof S> = Omit<S, 'kind' | 'name' | Defaulted> &
  Partial<Pick<S, Defaulted>>;

export function defineTargetService<P extends TSchema, R extends TSchema>(
  name: TargetService['name'],
  service: Defined<TargetService<P, R>, 'qubes' | 'calls'>,
): TargetService<P, R> {
  return Object.freeze({
    qubes: {},
    calls: callsOf(service.steps),
    ...service,
    kind: 'target' as const,
    name,
  });
}

export function defineHostService<P extends TSchema, R extends TSchema>(
  name: HostService['name'],
  service: Defined<HostService<P, R>, 'qubes' | 'calls'>,
): HostService<P, R> {
  return Object.freeze({ qubes: {}, calls: callsOf(service.steps), ...service, kind: 'host' as const, name });
}

export function defineStreamService<P extends TSchema, R extends TSchema>(
  name: StreamService['name'],
  service: Defined<StreamService<P, R>, 'qubes' | 'calls'>,
): StreamService<P, R> {
  return Object.freeze({
    qubes: {},
    calls: callsOf(service.steps),
    ...service,
    kind: 'stream' as const,
    name,
  });
}

export function defineGuestService<P extends TSchema, R extends TSchema>(
  name: GuestService['name'],
  service: Defined<GuestService<P, R>, never>,
): GuestService<P, R> {
  return Object.freeze({ ...service, kind: 'guest' as const, name });
}

/** What a guest service streams while it runs, and how it is fed and stopped. */
export interface GuestIo {
  /** Bytes for the remote program's standard input. */
  readonly stdin?: Uint8Array;
  readonly onOutput?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void;
  readonly signal?: AbortSignal;
  /** Seconds until the call is given up. */
  readonly timeout?: number;
}

/** A service as a tool holds it: a function. Holding it is the authority to call it; nothing else is in reach. */
export type Port<S extends Service> =
  S extends TargetService<infer P, infer R>
    ? (qube: string, params: Static<P>, signal?: AbortSignal) => Promise<Static<R>>
    : S extends HostService<infer P, infer R>
      ? (params: Static<P>, signal?: AbortSignal) => Promise<Static<R>>
      : S extends StreamService<infer P, infer R>
        ? (params: Static<P>, signal?: AbortSignal) => AsyncIterable<Static<R>>
        : S extends GuestService<infer P, infer R>
          ? (qube: string, params: Static<P>, io?: GuestIo) => Promise<Static<R>>
          : never;
