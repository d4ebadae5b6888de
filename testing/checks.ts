import type { HostSnapshot, Invariant, WorldSnapshot } from '../core/api/index.js';
import { Marks } from '../core/api/marks.js';

/** What was done broke what a plugin says holds. */
export class InvariantBroken extends Error {
  override readonly name = 'InvariantBroken';
  constructor(readonly invariants: readonly Invariant[]) {
    super(invariants.map(({ id, statement }) => `${id} no longer holds: ${statement}`).join('\n'));
  }
}

/** A qube that may not be seen can be told from one that does not exist. */
export class NotHidden extends Error {
  override readonly name = 'NotHidden';
}

export function mustHold(
  invariants: readonly Invariant[],
  before: HostSnapshot,
  after: HostSnapshot,
  world: WorldSnapshot,
): void {
  const broken = invariants.filter(({ holds }) => !holds(before, after, world));
  if (broken.length > 0) throw new InvariantBroken(broken);
}

/** The qubes an agent must not be able to tell from nothing: every one of the host that is not of its world. */
export function hiddenQubes({ qubes }: HostSnapshot, world: WorldSnapshot): string[] {
  const marks = new Marks(world);
  return qubes.filter((qube) => !marks.inScope(qube)).map(({ name }) => name);
}
