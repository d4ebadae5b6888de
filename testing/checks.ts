import type { Invariant } from '../core/api/index.js';
import { type Check, checkOf } from '../model/invariants.js';
import type { HostSnapshot, WorldSnapshot } from '../model/snapshot.js';
import { WorldTags } from '../model/world-tags.js';

/** An action broke an invariant or a check. */
export class InvariantBroken extends Error {
  override readonly name = 'InvariantBroken';
  constructor(readonly invariants: readonly Check[]) {
    super(invariants.map(({ id, statement }) => `${id} no longer holds: ${statement}`).join('\n'));
  }
}

/** A hidden qube can be distinguished from one that does not exist. */
export class NotHidden extends Error {
  override readonly name = 'NotHidden';
}

/** Defines a check of your own for `upholding`. dom0 does not enforce it; your test shows that it holds. */
export function defineCheck(id: string, check: Omit<Check, 'id'>): Check {
  return { ...check, id };
}

export function assertHolds(
  what: readonly (Invariant | Check)[],
  before: HostSnapshot,
  after: HostSnapshot,
  world: WorldSnapshot,
): void {
  const checks = what.map((each) => ('holds' in each ? each : checkOf(each)));
  const broken = checks.filter(({ holds }) => !holds(before, after, world));
  if (broken.length > 0) throw new InvariantBroken(broken);
}

/** The qubes that an agent must not be able to distinguish from missing ones: all that are not members of its world. */
export function hiddenQubes({ qubes }: HostSnapshot, world: WorldSnapshot): string[] {
  const worldTags = new WorldTags(world);
  return qubes.filter((qube) => !worldTags.inScope(qube)).map(({ name }) => name);
}
