import type { Api } from '../host/api.js';
import type { DeviceClass, Qube, QubeClass } from '../host/qube.js';
import type { HostState } from '../host/state.js';

/** A call whose caller, target, argument and payload have passed the checks of the method's row. */
export interface Call {
  readonly host: HostState;
  readonly source: Qube;
  readonly dest: Qube;
  readonly argument: string;
  readonly payload: Uint8Array;
  /** The value in place of the braces of a method's name. */
  readonly endpoint: string;
}

export type Answer = string | Uint8Array | undefined;

/** true: required; false: forbidden; null: either. */
type Requirement = boolean | null;

/** One method: the rules that the daemon checks before it runs, and its action. */
export interface Method {
  readonly name: string;
  readonly arg: Requirement;
  readonly payload: Requirement;
  /** true: only on dom0; false: never on dom0. */
  readonly dom0: Requirement;
  readonly since: Api;
  readonly until: Api;
  readonly endpoints?: 'classes' | 'devices';
  readonly run: (call: Call) => Answer | Promise<Answer>;
}

type Rules = Partial<Pick<Method, 'arg' | 'payload' | 'dom0' | 'since' | 'until' | 'endpoints'>>;

/** A row of the method table. By default: no argument, no payload, any qube. */
export function method(name: string, rules: Rules, run: Method['run']): Method {
  return { arg: false, payload: false, dom0: null, since: '4.2', until: '4.4', ...rules, name, run };
}

export const textOf = (payload: Uint8Array): string => Buffer.from(payload).toString('latin1');
export const isAscii = (payload: Uint8Array): boolean => !payload.some((byte) => byte > 127);
export const lines = (items: Iterable<string>): string => [...items].map((item) => `${item}\n`).join('');
export const classOf = (call: Call): QubeClass => call.endpoint as QubeClass;
export const deviceClassOf = (call: Call): DeviceClass => call.endpoint as DeviceClass;
