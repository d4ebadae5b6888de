import { TAGS, TIER_NAMES } from '../core/api/generated/names.js';
import { TIERS, type Tier } from '../core/api/index.js';
import type { BudgetSnapshot, HostSnapshot, QubeSnapshot, WorldSnapshot } from './snapshot.js';

/** Properties that the platform derives: they change with the power state, the label or the network. */
const DERIVED =
  /^(bootmode|dns|gateway6?|icon|ip6?|is_preload|klass|start_time|stubdom_uuid|stubdom_xid|updateable|visible_.*|xid)$/;
/** Tags and features that the platform itself writes when qubes are created and removed. */
const PLATFORM_TAG = /^(guivm|audiovm|relayvm)-/;
const PLATFORM_FEATURE = /^(preload-dispvm.*|deferred-netvm-original|internal)$/;

type Role = keyof typeof TAGS;
const ROLES = Object.keys(TAGS) as Role[];

/** A tag as the spec writes it. */
const tagOf = (role: Role, world: string, tier: Tier | undefined, principal: string): string =>
  TAGS[role].pattern
    .replace('{world}', world)
    .replace('{tier}', tier === undefined ? '' : TIER_NAMES[tier])
    .replace('{principal}', principal);

/** The tags of a world's qubes, and what they mean for a qube in a snapshot. */
export class WorldTags {
  readonly umbrella: string;
  readonly tombstone: string;
  readonly bornTag: string;
  /** Tags that give a tier beyond `read`. */
  readonly tierTags: readonly string[];
  readonly disposableTags: readonly string[];
  readonly ownerStamps: readonly string[];
  /** Tags that restrict a qube and all its children. */
  readonly restrictionTags: readonly string[];
  /** With this tag, only the operator changes a qube's rules and network. */
  readonly egressLock: string;
  /** With this tag, an agent may only read, whatever the tier. */
  readonly guard: string;
  /** Names that no call may have as its object. */
  readonly excluded: ReadonlySet<string>;

  constructor(readonly world: WorldSnapshot) {
    const { name, principals, gateways, guarded } = world;
    const tag = (role: Role, tier?: Tier, principal = '') => tagOf(role, name, tier, principal);
    this.umbrella = tag('umbrella');
    this.tombstone = tag('tombstone');
    this.bornTag = tag('born');
    this.tierTags = TIERS.slice(1).map((tier) => tag('tier', tier));
    this.disposableTags = TIERS.map((tier) => tag('disposable', tier));
    this.ownerStamps = principals.flatMap((who) =>
      (['stamp', 'disposable_stamp'] as const).map((role) => tag(role, undefined, who)),
    );
    this.egressLock = tag('egress_lock');
    this.guard = tag('guard');
    this.restrictionTags = ROLES.filter((role) => 'narrows' in TAGS[role]).map((role) => tag(role));
    this.excluded = new Set([...principals, ...gateways, ...guarded, 'dom0']);
  }

  /** Whether one of the world's principals created it, by the tag that qubesd sets. */
  isMadeByWorld({ tags }: QubeSnapshot): boolean {
    return this.ownerStamps.some((stamp) => tags.includes(stamp));
  }

  /** Whether its creation is complete. A disposable inherits its template's tags, so it has a tag of its own for this. */
  isFinished(qube: QubeSnapshot): boolean {
    if (qube.class === 'DispVM') return this.disposableTags.some((mark) => qube.tags.includes(mark));
    return qube.tags.includes(this.bornTag) || !this.isMadeByWorld(qube);
  }

  inScope(qube: QubeSnapshot): boolean {
    return (
      qube.tags.includes(this.umbrella) &&
      !qube.tags.includes(this.tombstone) &&
      !this.excluded.has(qube.name) &&
      this.isFinished(qube)
    );
  }

  /** Whether it belongs to the world in any way: as a member, removed, or half created. */
  isRelated(qube: QubeSnapshot): boolean {
    const marked = [this.umbrella, this.tombstone].some((tag) => qube.tags.includes(tag));
    return (marked || this.isMadeByWorld(qube)) && !this.excluded.has(qube.name);
  }

  tier({ tags }: QubeSnapshot): Tier {
    const held = this.tierTags.findLastIndex((tag) => tags.includes(tag)) + 1;
    return tags.includes(this.guard) ? TIERS[0] : TIERS[held]!;
  }

  /** The rank of the tier that a qube has, or would have when restored; -1 for none. */
  rank(qube: QubeSnapshot): number {
    return qube.tags.includes(this.umbrella) ? TIERS.indexOf(this.tier(qube)) : -1;
  }

  restrictionsOf({ tags }: QubeSnapshot): string[] {
    return this.restrictionTags.filter((tag) => tags.includes(tag));
  }

  /** What the world uses, counted like dom0's budget gate. */
  usage({ qubes }: HostSnapshot): Omit<BudgetSnapshot, 'private_size'> {
    const made = qubes.filter((qube) => this.isMadeByWorld(qube));
    const up = qubes.filter((qube) => (this.isMadeByWorld(qube) || this.inScope(qube)) && !isDown(qube));
    const sum = (some: readonly QubeSnapshot[], of: (qube: QubeSnapshot) => number) =>
      some.reduce((total, qube) => total + of(qube), 0);
    return {
      qubes: made.length,
      disk: sum(made, (qube) => (qube.class === 'DispVM' ? 0 : qube.disk)),
      running: up.length,
      memory: sum(up, (qube) => Math.max(numberOf(qube, 'memory'), numberOf(qube, 'maxmem'))),
      vcpus: sum(up, (qube) => numberOf(qube, 'vcpus')),
    };
  }
}

const numberOf = ({ properties }: QubeSnapshot, name: string) => Number(properties[name] || 0);

export function isDown({ state }: QubeSnapshot): boolean {
  return state === 'Halted' || state === 'Crashed';
}

/** The qubes that are only in the second snapshot. */
export function createdQubes(before: HostSnapshot, after: HostSnapshot): QubeSnapshot[] {
  const known = new Set(before.qubes.map(({ name }) => name));
  return after.qubes.filter(({ name }) => !known.has(name));
}

/** The qubes in both snapshots, before and after. */
export function survivingQubes(before: HostSnapshot, after: HostSnapshot): [QubeSnapshot, QubeSnapshot][] {
  const now = new Map(after.qubes.map((qube) => [qube.name, qube]));
  return before.qubes.flatMap((was): [QubeSnapshot, QubeSnapshot][] => {
    const is = now.get(was.name);
    return is ? [[was, is]] : [];
  });
}

/** The possible sources of a new qube: its template, and for a clone every qube with the same template. */
export function possibleSources(child: QubeSnapshot, before: HostSnapshot): QubeSnapshot[] {
  const { template } = child.properties;
  return before.qubes.filter(
    ({ name, properties }) =>
      name === template || (child.class !== 'DispVM' && template !== '' && properties.template === template),
  );
}

/** The sources of a new qube as far as the audit log shows: its possible sources that a call in between named. */
export function sourcesOf(child: QubeSnapshot, before: HostSnapshot, after: HostSnapshot): QubeSnapshot[] {
  const added = after.dom0?.audit.slice(before.dom0?.audit.length ?? 0) ?? [];
  const named = new Set(added.flatMap(({ kind, names = [] }) => (kind === 'intent' ? names : [])));
  return possibleSources(child, before).filter(({ name }) => named.has(name));
}

/** The settings of a qube, without its power state, disk and devices, and without derived values. */
export function settings(qube: QubeSnapshot) {
  const { tags, features, properties, firewall } = qube;
  return {
    class: qube.class,
    tags: tags.filter((tag) => !PLATFORM_TAG.test(tag)).sort(),
    features: filtered(features, (name) => !PLATFORM_FEATURE.test(name)),
    properties: filtered(properties, (name) => !DERIVED.test(name)),
    firewall,
  };
}

/** The keys whose values differ. */
export function changedKeys(
  was: Readonly<Record<string, string>>,
  is: Readonly<Record<string, string>>,
): string[] {
  return Object.keys({ ...was, ...is }).filter((key) => was[key] !== is[key]);
}

export function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function filtered(record: Readonly<Record<string, string>>, keep: (key: string) => boolean) {
  const entries = Object.entries(record).filter(([key]) => keep(key));
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}
