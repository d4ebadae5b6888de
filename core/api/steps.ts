/**
 * The verbs dom0's kernel knows (`dom0/qmcpd/steps.py`). A contract is a list of them; a value that starts with `$` is a
 * parameter of the call, `$target` the qube the service was called on. What a verb may do to the host is fixed in dom0.
 */
export interface Step {
  readonly do: string;
  readonly with: Readonly<Record<string, unknown>>;
  /** Run this step only when the named boolean parameter is true. */
  readonly when?: string;
}

/** A reference to a parameter: `'$name'`. */
export type Ref = `$${string}`;

export const step = {
  /** The qubes of the world, redacted. Result: `{ prefix, qubes: [{ name, class, state }] }`. */
  list: (): Step => ({ do: 'list', with: {} }),

  /** One qube's class, state, properties and disk, redacted. Result: the fields of `qube_state`. */
  read: (args: { qube: Ref }): Step => ({ do: 'read', with: args }),

  /** A new AppVM from a template, born tagged, on its inherited network or none. */
  create: (args: {
    name: Ref;
    template: Ref;
    label?: Ref;
    network?: Ref;
    memory?: Ref;
    vcpus?: Ref;
    private_size?: Ref;
  }): Step => ({ do: 'create', with: args }),

  /** Bring a qube to a power state and wait until it is there. */
  power: (args: { qube: Ref; to: 'running' | 'halted'; timeout?: Ref; when?: string }): Step => {
    const { when, ...rest } = args;
    return when === undefined ? { do: 'power', with: rest } : { do: 'power', with: rest, when };
  },

  /** Halt, mark as a tombstone, strip tier and umbrella. The operator can restore it. */
  entomb: (args: { qube: Ref }): Step => ({ do: 'entomb', with: args }),
};
