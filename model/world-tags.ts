import { TIERS, type Tier } from '../core/api/index.js';
import { Membership, tagOf } from './membership.js';
import type { BudgetSnapshot, HostSnapshot, QubeSnapshot, WorldSnapshot } from './snapshot.js';

/** Properties that the platform derives: they change with the power state, the label or the network. */
const DERIVED =
  /^(bootmode|dns|gateway6?|icon|ip6?|is_preload|klass|start_time|stubdom_uuid|stubdom_xid|updateable|visible_.*|xid)$/;
/** Tags and features that the platform itself writes when qubes are created and removed. */
const PLATFORM_TAG = /^(guivm|audiovm|relayvm)-/;
const PLATFORM_FEATURE = /^(preload-dispvm.*|deferred-netvm-original|internal)$/;

/** The tags of a world's qubes, and what they mean for a qube in a snapshot. */
export class WorldTags {
  readonly umbrella: string;
  readonly tombstone: string;
  readonly bornTag: string;
  /** Tags that give a tier beyond the first. */
  readonly tierTags: readonly string[];
  readonly disposableTags: readonly string[];
  readonly ownerStamps: readonly string[];
  /** Tags that restrict a qube and all its children. */
  readonly restrictionTags: readonly string[];
  /** With this tag, only the operator changes a qube's rules and network. */
  readonly egressLock: string;
  /** Every tag that means something in the world. */
  readonly own: ReadonlySet<string>;
  /** Names that no call may have as its object. */
  readonly excluded: ReadonlySet<string>;
  private readonly membership: Membership;

  constructor(readonly world: WorldSnapshot) {
    const { name, principals, gateways, guarded, others = [] } = world;
    this.membership = new Membership(name, principals, others);
    const { tags, restrictions, own } = this.membership;
    this.umbrella = tagOf('umbrella', name);
    this.tombstone = tagOf('tombstone', name);
    this.bornTag = tagOf('born', name);
    this.egressLock = tagOf('egress_lock', name);
    this.tierTags = [...tags.tier];
    this.disposableTags = [...tags.disposable];
    this.ownerStamps = [...tags.stamp, ...tags.disposable_stamp];
    this.restrictionTags = restrictions;
    this.own = own;
    this.excluded = new Set([...principals, ...gateways, ...guarded, 'dom0']);
  }

  /** Whether one of the world's principals created it, by the tag that qubesd sets. */
  isMadeByWorld({ tags }: QubeSnapshot): boolean {
    return this.ownerStamps.some((stamp) => tags.includes(stamp));
  }

  /** Whether its creation is complete, or it does not belong to the world at all. */
  isFinished(qube: QubeSnapshot): boolean {
    return this.membership.of(qube.class, qube.tags).is !== 'half-born';
  }

  inScope(qube: QubeSnapshot): boolean {
    return this.tier(qube) !== undefined && !this.excluded.has(qube.name);
  }

  /** Whether it belongs to the world in any way: as a member, removed, or half created. */
  isRelated(qube: QubeSnapshot): boolean {
    const { belongs } = this.membership.of(qube.class, qube.tags);
    return (belongs === true || this.isMadeByWorld(qube)) && !this.excluded.has(qube.name);
  }

  /** The tier at which an agent has it; undefined when its tags give it to none. */
  tier(qube: QubeSnapshot): Tier | undefined {
    return this.membership.reach(qube.class, qube.tags);
  }

  /** The rank of the tier that a qube has, or would have when restored; -1 for none. */
  rank(qube: QubeSnapshot): number {
    const tags = qube.tags.filter((tag) => tag !== this.tombstone);
    const tier = this.tier({ ...qube, tags });
    return tier === undefined ? -1 : TIERS.indexOf(tier);
  }

  /** The rank that a child may have of it: of a template that the operator gave to build on, any. */
  rankAsSource(qube: QubeSnapshot): number {
    const given = qube.class === 'TemplateVM' && qube.tags.includes(tagOf('source', this.world.name));
    const guarded = qube.tags.includes(tagOf('guard', this.world.name));
    return given && !guarded && this.inScope(qube) ? TIERS.length - 1 : this.rank(qube);
  }

  restrictionsOf({ tags }: QubeSnapshot): string[] {
    return this.restrictionTags.filter((tag) => tags.includes(tag));
  }

  /** What the world uses, counted like dom0's budget gate. */
  usage({ qubes }: HostSnapshot): Omit<BudgetSnapshot, 'private_size'> {
    const made = qubes.filter(
      (qube) => this.isMadeByWorld(qube) && this.membership.of(qube.class, qube.tags).belongs,
    );
    const up = qubes.filter((qube) => (made.includes(qube) || this.inScope(qube)) && !isDown(qube));
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
  const names = new Set(before.qubes.map(({ name }) => name));
  return after.qubes.filter(({ name }) => !names.has(name));
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
