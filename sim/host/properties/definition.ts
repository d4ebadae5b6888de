import type { Api } from '../api.js';
import type { PropertyValue, Qube, QubeClass } from '../qube.js';
import type { HostState } from '../state.js';

/** How a value is written in a reply, and how a payload is read. `uuid`, `ip` and `ip6` are sent as `str`. */
export type PropertyType = 'str' | 'int' | 'bool' | 'vm' | 'label' | 'uuid' | 'ip' | 'ip6';

/** The holder of a property: a qube, or the host itself (null) for global ones. */
export interface Property<H extends Qube | null = Qube> {
  readonly name: string;
  readonly type: PropertyType;
  readonly classes: readonly QubeClass[];
  /** `forbidden`: computed, nobody sets it. `write-once`: set at creation. */
  readonly access: 'rw' | 'forbidden' | 'write-once';
  /** The value while it is unset. Without this, the property has no default. */
  readonly default?: (host: HostState, holder: H) => PropertyValue;
  /** Checks, and may rewrite, a parsed value. Throws the error for the caller. */
  readonly check?: (host: HostState, holder: H, value: PropertyValue, property: Property<H>) => PropertyValue;
  /** A qube-valued property that may be empty. */
  readonly noneable: boolean;
  /** The class that a qube-valued property requires. */
  readonly target?: QubeClass;
  /** Disposables copy it from their template, and clients when they clone. */
  readonly clone: boolean;
  /** Listed after all others: values that need the other qubes to be loaded. */
  readonly late: boolean;
  readonly since: Api;
  /** Computed at every read, never stored. */
  readonly computed?: boolean;
  readonly help: string;
}

export const ALL_LOCAL: readonly QubeClass[] = ['AppVM', 'TemplateVM', 'StandaloneVM', 'DispVM'];

type Row<H extends Qube | null> = Omit<
  Property<H>,
  'name' | 'type' | 'classes' | 'access' | 'noneable' | 'clone' | 'late' | 'since' | 'help'
> &
  Partial<Property<H>>;

/** One row of a table; omitted fields have the most common value. */
export function property<H extends Qube | null>(
  name: string,
  type: PropertyType,
  help: string,
  row: Row<H> = {},
): Property<H> {
  return {
    classes: ALL_LOCAL,
    access: 'rw',
    noneable: false,
    clone: true,
    late: type === 'vm',
    since: '4.2',
    ...row,
    name,
    type,
    help,
  };
}
