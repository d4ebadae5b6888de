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
  /** The volume it is a snapshot of, as `qube/volume`; its contents come from there at every start. */
  source: string | null;
  saveOnStop: boolean;
  snapOnStart: boolean;
  revisionsToKeep: number;
  ephemeral: boolean;
  /** Older states that can be gone back to, oldest first. */
  revisions: string[];
  /** Changes whenever the volume's persistent contents do; a snapshot taken from an older one is outdated. */
  generation: number;
  /** The generation of the source that a running snapshot was taken from. */
  sourceGeneration: number | null;
}
