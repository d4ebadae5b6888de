/** What a qube is to a world: the table of dom0/spec/membership.toml, applied. */
import { MEMBERSHIP } from '../core/api/generated/membership.js';
import { TAGS, TIER_NAMES } from '../core/api/generated/names.js';
import { TIERS, type Tier } from '../core/api/index.js';

export type Kind = keyof typeof TAGS | 'authority' | 'elsewhere';

/** A row of the table. */
export interface Row {
  readonly is: (typeof MEMBERSHIP)[number]['is'];
  readonly has?: readonly string[];
  readonly lacks?: readonly string[];
  readonly class?: string;
  readonly not_class?: string;
  readonly reach?: 'tags' | 'least';
  readonly belongs?: true;
  readonly boots?: true;
  readonly loses?: readonly string[];
}

export const ROWS: readonly Row[] = MEMBERSHIP;

const KINDS = Object.keys(TAGS) as (keyof typeof TAGS)[];
const has = (kind: keyof typeof TAGS, flag: 'authority' | 'narrows'): boolean => flag in TAGS[kind];

/** A tag as the spec writes it. */
export const tagOf = (kind: keyof typeof TAGS, world: string, tier?: Tier, principal = ''): string =>
  TAGS[kind].pattern
    .replace('{world}', world)
    .replace('{tier}', tier === undefined ? '' : TIER_NAMES[tier])
    .replace('{principal}', principal);

/** Every tag of a kind in a world of that name. The first tier has no tag: it is the umbrella's. */
function tagsOf(kind: keyof typeof TAGS, world: string, principals: readonly string[]): string[] {
  const tiers = kind === 'tier' ? TIERS.slice(1) : TIERS;
  const makers = TAGS[kind].pattern.includes('{principal}') ? principals : [''];
  return [...new Set(tiers.flatMap((tier) => makers.map((maker) => tagOf(kind, world, tier, maker))))];
}

/** Every tag that means something in a world of that name, and in no other. */
const ownTags = (world: string): string[] =>
  KINDS.filter((kind) => TAGS[kind].pattern.includes('{world}')).flatMap((kind) => tagsOf(kind, world, []));

/** The tags of a world by their kind, and what they come to on a qube. */
export class Membership {
  readonly tags: Readonly<Record<Kind, ReadonlySet<string>>>;
  /** Every tag that means something in this world. */
  readonly own: ReadonlySet<string>;
  /** Tags that narrow a qube, and every child of it. */
  readonly restrictions: readonly string[];

  constructor(
    private readonly world: string,
    principals: readonly string[],
    others: readonly string[],
  ) {
    const byKind = KINDS.map((kind) => [kind, new Set(tagsOf(kind, world, principals))] as const);
    this.tags = {
      ...(Object.fromEntries(byKind) as Record<keyof typeof TAGS, Set<string>>),
      authority: new Set(byKind.flatMap(([kind, tags]) => (has(kind, 'authority') ? [...tags] : []))),
      elsewhere: new Set(others.flatMap(ownTags)),
    };
    this.own = new Set(ownTags(world));
    this.restrictions = KINDS.filter((kind) => has(kind, 'narrows')).map((kind) => tagOf(kind, world));
  }

  /** The first row that fits. */
  of(qubeClass: string, tags: readonly string[]): Row {
    const there = (kind: string) => tags.some((tag) => this.tags[kind as Kind].has(tag));
    return ROWS.find(
      (row) =>
        (row.class ?? qubeClass) === qubeClass &&
        row.not_class !== qubeClass &&
        (row.has ?? []).every(there) &&
        !(row.lacks ?? []).some(there),
    )!;
  }

  /** The tier at which an agent has such a qube; undefined when no agent does. */
  reach(qubeClass: string, tags: readonly string[]): Tier | undefined {
    const { reach } = this.of(qubeClass, tags);
    if (reach === undefined || reach === 'least') return reach && TIERS[0];
    // A disposable has the tier tags of its template from the start, and of its own nothing but the mark.
    const kinds = qubeClass === 'DispVM' ? (['disposable'] as const) : (['disposable', 'tier'] as const);
    return (
      TIERS.findLast((tier) => kinds.some((kind) => tags.includes(tagOf(kind, this.world, tier)))) ?? TIERS[0]
    );
  }
}
