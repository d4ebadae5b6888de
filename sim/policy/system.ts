/** One qube as a policy sees it; the field names are the policy daemon's. */
export interface PolicyQube {
  readonly tags: readonly string[];
  readonly type?: string;
  readonly power_state?: string;
  readonly default_dispvm?: string | null;
  readonly template_for_dispvms?: boolean;
  readonly uuid?: string;
  readonly internal?: boolean;
}

/** Every qube of the host by name, dom0 included. */
export type PolicySystem = Readonly<Record<string, PolicyQube>>;

/** A qube by name or `uuid:…`. */
export function qubeOf(system: PolicySystem, name: string): PolicyQube | undefined {
  if (!name.startsWith('uuid:')) return Object.hasOwn(system, name) ? system[name] : undefined;
  return Object.values(system).find(({ uuid }) => uuid === name.slice(5));
}

export function nameOf(system: PolicySystem, nameOrUuid: string): string | undefined {
  if (!nameOrUuid.startsWith('uuid:')) return Object.hasOwn(system, nameOrUuid) ? nameOrUuid : undefined;
  return Object.keys(system).find((name) => system[name]!.uuid === nameOrUuid.slice(5));
}

const ADMINVM = new Set(['@adminvm', 'dom0', 'uuid:00000000-0000-0000-0000-000000000000']);

/** dom0 under any of its three names; a rule that says one of them means all of them. */
export const isAdminVm = (token: string): boolean => ADMINVM.has(token);

export const DISPOSABLE_OF = '@dispvm:';

/** `@dispvm:<template>` for what `@dispvm` means to this source; undefined when it has no default. */
export function defaultDisposable(system: PolicySystem, source: string): string | undefined {
  const template = qubeOf(system, source)?.default_dispvm;
  return template ? DISPOSABLE_OF + template : undefined;
}
