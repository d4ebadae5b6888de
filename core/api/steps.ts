import { STEPS } from './vocabulary.js';

/**
 * The verbs dom0's kernel knows (`dom0/settings/vocabulary.toml`). A contract is a list of them; a value that starts with `$` is a
 * parameter of the call, `$target` the qube the service was called on. What a verb may do to the host is fixed in dom0.
 */
export interface Step {
  readonly do: StepName;
  readonly with: Readonly<Record<string, string>>;
  /** Run this step only when the named boolean parameter is true. */
  readonly when?: Ref;
}

/** A reference to a parameter: `'$name'`. */
export type Ref = `$${string}`;

export type StepName = keyof typeof STEPS;

type Taken<S extends StepName> = (typeof STEPS)[S]['arguments'];
/** A word out of the step's own list, or a reference. */
type Given<K> = K extends readonly (infer Word)[] ? Word : Ref;
type Needed<A> = { [K in keyof A as K extends `${string}?` ? never : K]: Given<A[K]> };
type Spare<A> = { [K in keyof A as K extends `${infer Name}?` ? Name : never]?: Given<A[K]> };

/** What a step takes, as references to the service's parameters. */
export type StepArguments<S extends StepName> = Needed<Taken<S>> & Spare<Taken<S>>;

type Builders = {
  readonly [S in StepName]: keyof Taken<S> extends never
    ? (args?: Record<string, never>, when?: { when: Ref }) => Step
    : (args: StepArguments<S>, when?: { when: Ref }) => Step;
};

/** One builder a verb: `step.power({ qube: '$name', to: 'running' }, { when: '$start' })`. */
export const step = Object.fromEntries(
  Object.keys(STEPS).map((name) => [
    name,
    (args: Record<string, string> = {}, when?: { when: Ref }): Step =>
      Object.freeze({ do: name as StepName, with: args, ...when }),
  ]),
) as unknown as Builders;

/** Every Admin API method these steps may use. */
export function callsOf(steps: readonly Step[]): string[] {
  return [...new Set(steps.flatMap((one) => STEPS[one.do].methods as readonly string[]))].sort();
}
