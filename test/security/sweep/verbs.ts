import type { HostSnapshot } from '../../../core/api/index.js';
import type { Seat } from '../host.js';

export type Qube = HostSnapshot['qubes'][number];

/**
 * One verb to be cut off wherever it can be. A new verb is one more entry: how the host is prepared, the call, and what its
 * whole effect looks like. No effect is the host as it was before the call, to the last property. An entry is tried when its
 * contract is installed, and every installed contract that changes something has to have one.
 */
export interface Verb {
  /** The contract this is a use of. */
  readonly service: string;
  /** What the operator put into dom0's files before. */
  readonly configure?: (root: string) => void;
  readonly prepare?: (at: Seat) => Promise<unknown>;
  readonly call: (at: Seat) => Promise<unknown>;
  /** Is this the whole effect? By the host's truth, asked by name. */
  readonly whole: (qube: (name: string) => Qube | undefined) => boolean;
}

const ONE = 'ai-one';
const create = (at: Seat, more: object = {}) =>
  at.call('@adminvm', 'qmcp.spawn.Create', { name: ONE, template: 'ai-debian', ...more });
const running = (at: Seat) => create(at, { start: true });

/** As one of the world's, at the tier of its template, with nothing about it that would be another's. */
const isBorn = (qube: Qube | undefined) =>
  [...(qube?.tags ?? [])].sort().join(' ') === 'ai-born ai-full ai-managed created-by-mcp-control' &&
  qube?.properties.netvm === 'sys-ai-net';

export const VERBS: Readonly<Record<string, Verb>> = {
  create: {
    service: 'qmcp.spawn.Create',
    call: (at) => create(at, { memory: 500, vcpus: 1, private_size: 3 * 2 ** 30 }),
    whole: (qube) =>
      isBorn(qube(ONE)) && qube(ONE)?.state === 'Halted' && qube(ONE)?.properties.memory === '500',
  },
  'create and start': {
    service: 'qmcp.spawn.Create',
    call: running,
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Running',
  },
  start: {
    service: 'qmcp.spawn.Start',
    prepare: create,
    call: (at) => at.call(ONE, 'qmcp.spawn.Start'),
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Running',
  },
  shutdown: {
    service: 'qmcp.spawn.Shutdown',
    prepare: running,
    call: (at) => at.call(ONE, 'qmcp.spawn.Shutdown'),
    whole: (qube) => isBorn(qube(ONE)) && qube(ONE)?.state === 'Halted',
  },
  remove: {
    service: 'qmcp.spawn.Remove',
    prepare: running,
    call: (at) => at.call(ONE, 'qmcp.spawn.Remove'),
    whole: (qube) =>
      qube(ONE)?.state === 'Halted' &&
      [...qube(ONE)!.tags].sort().join(' ') === 'ai-born ai-tombstone created-by-mcp-control',
  },
};
