import { errors } from './errors.js';
import type { Qube } from './qube.js';
import type { Volume } from './volume.js';

export interface Pool {
  readonly name: string;
  readonly driver: string;
  /** The options it was added with, other than name and driver. */
  readonly options: Map<string, string>;
  size: number | null;
  usage: number | null;
}

/** The options of each driver; those in `required` must be given. */
export const DRIVERS: Readonly<Record<string, { options: readonly string[]; required: readonly string[] }>> =
  {
    callback: { options: ['conf_id'], required: ['conf_id'] },
    file: { options: ['revisions_to_keep', 'dir_path', 'ephemeral_volatile'], required: ['dir_path'] },
    'file-reflink': {
      options: ['revisions_to_keep', 'dir_path', 'setup_check', 'ephemeral_volatile'],
      required: ['dir_path'],
    },
    'linux-kernel': { options: ['dir_path'], required: ['dir_path'] },
    lvm_thin: {
      options: ['revisions_to_keep', 'volume_group', 'thin_pool', 'ephemeral_volatile'],
      required: ['volume_group', 'thin_pool'],
    },
    zfs: {
      options: ['revisions_to_keep', 'container', 'ephemeral_volatile', 'snap_on_start_forensics'],
      required: ['container'],
    },
  };

export class Storage {
  /** In the order they were added. */
  readonly pools = new Map<string, Pool>();
  /** Volumes offered for copying, by token. A token works once and cannot be withdrawn. */
  readonly offers = new Map<string, { qube: Qube; volume: Volume }>();

  pool(name: string): Pool {
    const pool = this.pools.get(name);
    if (pool === undefined) throw errors.exception(`Unknown storage pool ${name}`);
    return pool;
  }
}
