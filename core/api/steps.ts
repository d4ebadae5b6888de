import { STEPS } from './generated/steps.js';
import { frozen } from './internal/frozen.js';

/**
 * The steps that dom0's kernel knows (`dom0/spec/steps.toml`). A contract is a list of them; a value that starts with `$` is a
 * parameter of the call, `$target` the qube the service was called on. What a step may do to the host is fixed in dom0.
 *
 * The type parameters say what the step needs from its service, and do not exist at run time: `N` are the parameters that it
 * refers to, `Q` the qubes it works on, `M` the qube it creates. A service whose steps need more than it has does not compile.
 */
export interface Step<N = never, Q extends string = string, M extends string = string> {
  readonly do: StepName;
  readonly with: Readonly<Record<string, string>>;
  /** Run this step only when the named boolean parameter is true. */
  readonly when?: Ref;
  readonly [ASKS]?: { readonly parameters: (given: N) => void; readonly qubes: Q; readonly makes: M };
}

declare const ASKS: unique symbol;

/** A reference to a parameter: `'$name'`. */
export type Ref = `$${string}`;

export type StepName = keyof typeof STEPS;

frozen(STEPS);

/** What a reference leads to, by the kind of argument it is given for (`dom0/spec/types.toml`, and the kinds of names). */
interface Kinds {
  qube: string;
  source: string;
  new: string;
  removed: string;
  label: string;
  network: string;
  kind: string;
  text: string;
  port: string;
  devclass: string;
  memory: number;
  vcpus: number;
  size: number;
  seconds: number;
  switch: boolean;
  rules: readonly unknown[];
  plan_text: string;
  digest: string;
  step_number: number;
  exit_code: number;
  plan_wait: number;
}

type Taken<S extends StepName> = (typeof STEPS)[S]['arguments'];
/** One of the step's own words, or a reference. */
type Given<K> = K extends readonly (infer Word)[] ? Word : Ref;
type Needed<A> = { [K in keyof A as K extends `${string}?` ? never : K]: Given<A[K]> };
type Spare<A> = { [K in keyof A as K extends `${infer Name}?` ? Name : never]?: Given<A[K]> };

/** The arguments of a step, as references to the service's parameters. */
export type StepArguments<S extends StepName> = Needed<Taken<S>> & Spare<Taken<S>>;

type NameIn<R> = R extends `$${infer Name}` ? Name : never;
/** The kind of an argument, and whether it is optional. */
type KindOf<T, K> = K extends keyof T ? T[K] : `${K & string}?` extends keyof T ? T[`${K & string}?`] : never;
type MayLack<T, K> = K extends keyof T ? never : undefined;
type TypeOf<Kind> = Kind extends keyof Kinds ? Kinds[Kind] : never;

/** The parameters that references lead to. A qube it works on is `Reached`; every other must be there, and of its kind. */
type Parameters<T, A> = {
  [K in keyof A as KindOf<T, K> extends 'qube' | 'source' ? never : NameIn<A[K]>]:
    | TypeOf<KindOf<T, K>>
    | MayLack<T, K>;
};
type OfKind<T, A, Kind> = { [K in keyof A]: KindOf<T, K> extends Kind ? NameIn<A[K]> : never }[keyof A];

type Condition<W> = { [K in NameIn<W>]: boolean | undefined };
type Nothing = Record<string, never>;
/** Allows only the arguments that the step takes. */
type Exact<A, S extends StepName> = A & { [K in Exclude<keyof A, keyof StepArguments<S>>]: never };

type Builders = {
  readonly [S in StepName]: keyof Taken<S> extends never
    ? <const W extends Ref = never>(args?: Nothing, when?: { when: W }) => Step<Condition<W>, never, never>
    : <const A extends StepArguments<S>, const W extends Ref = never>(
        args: Exact<A, S>,
        when?: { when: W },
      ) => Step<
        Parameters<Taken<S>, A> & Condition<W>,
        OfKind<Taken<S>, A, 'qube' | 'source'>,
        OfKind<Taken<S>, A, 'new'>
      >;
};

/** One builder for each step: `step.power({ qube: '$name', to: 'running' }, { when: '$start' })`. */
export const step = Object.freeze(
  Object.fromEntries(
    Object.keys(STEPS).map((name) => [
      name,
      (args: Record<string, string> = {}, when?: { when: Ref }) =>
        frozen({ do: name as StepName, with: { ...args }, ...when }),
    ]),
  ),
) as unknown as Builders;
