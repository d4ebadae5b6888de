import type { Static, TSchema } from '../vendor/typebox.js';
import { STEPS } from './generated/steps.js';
import type { Invariant } from './invariant.js';
import type { Tier } from './names.js';
import type { Step } from './steps.js';

/** The effect of a service on the host: it reads, makes a change that can be undone, or destroys something. */
export type Effect = 'read' | 'write' | 'destroy';

/** `qmcp.<plugin>.<Verb>`: the qrexec service name, and the name of its contract. */
export type ServiceName = `qmcp.${string}.${string}`;

interface ServiceBase<P extends TSchema, R extends TSchema> {
  readonly name: ServiceName;
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
  /** The Admin API methods that dom0 lets it use; by default all methods of its steps. */
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

/** A host service that answers until its time is over: every line is one `reply`. It has one step, a streaming one. */
export interface StreamService<P extends TSchema = TSchema, R extends TSchema = TSchema>
  extends Omit<HostService<P, R>, 'kind'> {
  readonly kind: 'stream';
}

/** Runs inside the target qube. dom0 never sees its bytes; only the policy decides about it, so it has no steps. */
export interface GuestService<P extends TSchema = TSchema, R extends TSchema = TSchema>
  extends ServiceBase<P, R> {
  readonly kind: 'guest';
  readonly capability: Tier;
  readonly problems: GuestProblems;
  /** Its argument is the SHA-256 of the request, so that the policy can allow one request and no other. */
  readonly digestInArgument: boolean;
}

/**
 * Reasons for a refusal inside a qube. For each word that the service may send: the argument it is about, the sentence the
 * agent reads, and the code if it is not the one that the service sends. Any other word from the qube is dropped.
 */
export type GuestProblems = Readonly<
  Record<string, readonly [at: string, problem: string, code?: 'not-found' | 'not-permitted']>
>;

export type Service = TargetService | HostService | StreamService | GuestService;

/** The parameters of a service that its steps can refer to. An optional parameter may be undefined. */
type Parameters<P> = P extends { properties: infer Properties }
  ? {
      [K in keyof Properties]:
        | (K extends keyof Static<P & TSchema> ? NonNullable<Static<P & TSchema>[K]> : never)
        | (P extends { required: readonly (infer Required)[] }
            ? K extends Required
              ? never
              : undefined
            : undefined);
    }
  : unknown;

/** Parameters that can name a qube: required ones of type string. */
type NameOfQube<P> = {
  [K in keyof Parameters<P>]: Parameters<P>[K] extends string ? K : never;
}[keyof Parameters<P>];

interface Common<P extends TSchema, R extends TSchema> {
  readonly effect: Effect;
  readonly params: P;
  readonly reply: R;
  readonly invariants: readonly Invariant[];
}

/** `N` are the parameters that name qubes, `M` the names of qubes that its steps create. Its steps may work only on these. */
interface Interpreted<
  P extends TSchema,
  R extends TSchema,
  N extends string,
  M extends string,
  T extends string,
> extends Common<P, R> {
  readonly qubes?: { readonly [K in N]: K extends NameOfQube<NoInfer<P>> ? Tier : never };
  readonly calls?: readonly string[];
  readonly steps: readonly Step<NoInfer<Parameters<P>>, NoInfer<T | N | M>, M>[];
}

/** A service called on a qube, and answered by dom0. `$target` in its steps is that qube. */
export function defineTargetService<
  P extends TSchema,
  R extends TSchema,
  N extends string = never,
  M extends string = never,
>(
  name: ServiceName,
  service: Interpreted<P, R, N, M, 'target'> & { readonly capability: Tier },
): TargetService<P, R> {
  return Object.freeze({ ...interpreted(service), kind: 'target' as const, name });
}

/** A service called on dom0 itself, with the names of qubes in its parameters. */
export function defineHostService<
  P extends TSchema,
  R extends TSchema,
  N extends string = never,
  M extends string = never,
>(name: ServiceName, service: Interpreted<P, R, N, M, never>): HostService<P, R> {
  return Object.freeze({ ...interpreted(service), kind: 'host' as const, name });
}

/** A host service that answers any number of times. */
export function defineStreamService<
  P extends TSchema,
  R extends TSchema,
  N extends string = never,
  M extends string = never,
>(name: ServiceName, service: Interpreted<P, R, N, M, never>): StreamService<P, R> {
  return Object.freeze({ ...interpreted(service), kind: 'stream' as const, name });
}

/** A service that runs inside the qube it is called on. Only the policy decides whether the call arrives. */
export function defineGuestService<P extends TSchema, R extends TSchema>(
  name: ServiceName,
  service: Common<P, R> & {
    readonly capability: Tier;
    readonly problems?: GuestProblems;
    readonly digestInArgument?: boolean;
  },
): GuestService<P, R> {
  return Object.freeze({ problems: {}, digestInArgument: false, ...service, kind: 'guest' as const, name });
}

/** Every Admin API method these steps may use. */
const callsOf = (steps: readonly Step[]): string[] =>
  [...new Set(steps.flatMap((one) => STEPS[one.do].methods as readonly string[]))].sort();

const interpreted = <S extends { readonly steps: readonly Step[] }>(service: S) => ({
  qubes: {},
  calls: callsOf(service.steps),
  ...service,
});

/** Input, output and limits of a call of a guest service. */
export interface GuestIo {
  /** Bytes for the remote program's standard input. */
  readonly stdin?: Uint8Array;
  readonly onOutput?: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => void;
  readonly signal?: AbortSignal;
  /** Seconds until the call is ended. */
  readonly timeout?: number;
}

/** A service as a tool gets it: a function. A tool that has the function may call the service; it can reach nothing else. */
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
