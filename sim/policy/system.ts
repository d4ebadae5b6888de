/** One qube as a policy sees it; the field names are the policy daemon's. */
export interface PolicyQube {
  readonly tags: readonly string[];
  readonly type?: string;
  readonly power_state?: string;
  readonly default_dispvm?: string | null;
  readonly template_for_dispvms?: boolean;
  readonly uuid?: string;
  readonly internal?: boolean;
  /** For a RemoteVM: the qube that relays calls to it, and the service that transports them. */
  readonly relayvm?: string | null;
  readonly transport_rpc?: string | null;
}

/** Every qube of the host by name, dom0 included. */
export type PolicySystem = Readonly<Record<string, PolicyQube>>;

/** A qube by name or `uuid:…`. */
export function qubeOf(system: PolicySystem, nameOrUuid: string): PolicyQube | undefined {
  const name = nameOf(system, nameOrUuid);
  return name === undefined ? undefined : system[name];
}

export function nameOf(system: PolicySystem, nameOrUuid: string): string | undefined {
  if (!nameOrUuid.startsWith('uuid:')) return Object.hasOwn(system, nameOrUuid) ? nameOrUuid : undefined;
  return Object.keys(system).find((name) => system[name]!.uuid === nameOrUuid.slice(5));
}

const ADMINVM = new Set(['@adminvm', 'dom0', 'uuid:00000000-0000-0000-0000-000000000000']);

/** dom0 under any of its three names; a rule with one of them means all three. */
export const isAdminVm = (token: string): boolean => ADMINVM.has(token);

export const DISPOSABLE_OF = '@dispvm:';

/** `@dispvm:<template>` for this source's `@dispvm`; undefined if it has no default. */
export function defaultDisposable(system: PolicySystem, source: string): string | undefined {
  const template = qubeOf(system, source)?.default_dispvm;
  return typeof template === 'string' ? DISPOSABLE_OF + template : undefined;
}

/**
 * The real daemon fails on a default or rule that names a missing disposable template. It drops the call without an answer, so
 * the caller sees a denial, even if a later rule would have allowed it.
 */
export class Unanswerable extends Error {
  override readonly name = 'Unanswerable';
}

/** The qube that the policy must look up; throws Unanswerable if it does not exist. */
export function mustBe(system: PolicySystem, nameOrUuid: string): PolicyQube {
  const qube = qubeOf(system, nameOrUuid);
  if (qube === undefined) throw new Unanswerable(`${nameOrUuid} does not exist`);
  return qube;
}
