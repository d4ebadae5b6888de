/** The volumes every qube has, in the order they are listed. */
export const VOLUMES = ['root', 'private', 'volatile', 'kernel'] as const;
export type VolumeName = (typeof VOLUMES)[number];

export interface Volume {
  readonly name: string;
  pool: string;
  vid: string;
  size: number;
  usage: number;
  rw: boolean;
  /** The volume it is a snapshot of, as `qube/volume`; its contents are copied from there at every start. */
  source: string | null;
  saveOnStop: boolean;
  snapOnStart: boolean;
  revisionsToKeep: number;
  ephemeral: boolean;
  /** Older revisions to which it can return, oldest first. */
  revisions: string[];
  /** Changes with the volume's persistent contents; a snapshot of an older one is outdated. */
  generation: number;
  /** The generation of the source when the running snapshot was made. */
  sourceGeneration: number | null;
}
