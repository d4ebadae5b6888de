/**
 * Every set of two worlds' tags on a qube of every class: what the kernel, the policy and the judge of the tests make of it. They
 * go by one table, dom0/spec/membership.toml; here it is asked of dom0's own Python, and of the policy as the simulated host
 * evaluates it.
 *
 * A line of a policy asks one thing of each end of a call: a tag, a class, a name, or nothing. So the line that decides of a qube is the
 * first of those that decide of a qube with one of its tags, and sets of tags need not be tried one by one. That this is so is
 * tried on sets drawn by chance.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { TIERS } from '../../core/api/index.js';
import { Membership } from '../../model/membership.js';
import { evaluate } from '../../sim/policy/evaluate.js';
import { policyOf } from '../../sim/policy/load.js';
import type { Rule } from '../../sim/policy/rule.js';
import type { PolicyQube, PolicySystem } from '../../sim/policy/system.js';
import { python } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { Harness } from '../support/harness.js';
import { eventually } from '../support/waiting.js';

const folder = mkdtempSync(join(tmpdir(), 'qmcp-'));
afterAll(() => rmSync(folder, { recursive: true }));

const LAB = `
[world.lab]
prefix = "lab-"
[world.lab.principal.lab-control]
plugins = ["inspect", "spawn", "exec", "storage", "events", "networking", "egress", "devices", "plan"]
`;

interface World {
  readonly tags: readonly string[];
  readonly other: readonly string[];
  readonly sink: string;
  readonly principals: readonly string[];
  readonly answers: Readonly<Record<string, readonly [string, string]>>;
  readonly elsewhere: readonly (readonly string[])[];
}

interface Told {
  readonly policy: string;
  readonly rows: readonly string[];
  readonly contracts: Readonly<Record<string, { readonly plugin: string; readonly tier: number | null }>>;
  readonly worlds: Readonly<Record<string, World>>;
}

const toml = join(folder, 'qmcp.toml');
writeFileSync(toml, readFileSync(packageFile('dom0/qmcp.toml'), 'utf8') + LAB);
const told = JSON.parse(
  execFileSync(python(), ['-B', packageFile('test/security/membership.py'), toml], {
    cwd: packageFile('dom0'),
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  }),
) as Told;
const names = Object.keys(told.worlds);
const CLASSES = Object.keys(told.worlds[names[0]!]!.answers);

/** What dom0 says of the sets of a world's tags on a qube of a class. */
interface OfClass {
  /** The numbers of rows. */
  readonly rows: Uint8Array;
  /** The number of the tier at which an agent has it; -1 when none does. */
  readonly tiers: Int8Array;
  /** The tags that qmcpd takes off, and the set that is left when it has nothing more to take off. */
  readonly lost: Uint16Array;
  readonly left: Uint16Array;
}

function read(text: string): OfClass {
  const bytes = Buffer.from(text, 'base64');
  const size = bytes.length / 4;
  const of = {
    rows: new Uint8Array(size),
    tiers: new Int8Array(size),
    lost: new Uint16Array(size),
    left: new Uint16Array(size),
  };
  for (let set = 0; set < size; set += 1) {
    of.rows[set] = bytes[4 * set]!;
    of.tiers[set] = bytes[4 * set + 1]! === 255 ? -1 : bytes[4 * set + 1]!;
    of.lost[set] = bytes.readUInt16LE(4 * set + 2);
    // A set with fewer tags comes before one with more.
    of.left[set] = of.lost[set] === 0 ? set : of.left[set & ~of.lost[set]!]!;
  }
  return of;
}

class Answers {
  readonly alone: Readonly<Record<string, OfClass>>;
  readonly elsewhere: Readonly<Record<string, OfClass>>;
  readonly sets: number;
  /** The tags of the world's own: a stamp alone is none. */
  readonly own: number;

  constructor(readonly world: World) {
    this.sets = 1 << world.tags.length;
    this.own = (1 << (world.tags.length - world.principals.length)) - 1;
    const of = (which: 0 | 1) =>
      Object.fromEntries(Object.entries(world.answers).map(([klass, both]) => [klass, read(both[which])]));
    this.alone = of(0);
    this.elsewhere = of(1);
  }

  row(klass: string, set: number): string {
    return told.rows[this.alone[klass]!.rows[set]!]!;
  }

  has(set: number, tag: string): boolean {
    return ((set >> this.world.tags.indexOf(tag)) & 1) === 1;
  }

  tagsOf(set: number): string[] {
    return this.world.tags.filter((_, bit) => (set >> bit) & 1);
  }
}

const answers = Object.fromEntries(names.map((name) => [name, new Answers(told.worlds[name]!)]));

// ---- the policy, by what one end of a call can be asked for

const DEFAULT = readFileSync(packageFile('sim/policy/90-default.policy'), 'utf8');
const policy = policyOf({ '30-qmcp.policy': told.policy, '90-default.policy': DEFAULT });
const NO_LINE = policy.rules.length;

/** What a line can ask of a qube: `@tag:…`, `@type:…`, a name, or nothing. Of a target also what is no qube. */
type Ask = string;
const ANY: Ask = '';
const isQube = (ask: Ask) => ask === ANY || ask.startsWith('@tag:') || ask.startsWith('@type:');
/** The qube that answers to this and to nothing else. */
const only = (ask: Ask): PolicyQube => ({
  tags: ask.startsWith('@tag:') ? [ask.slice(5)] : [],
  type: ask.startsWith('@type:') ? ask.slice(6) : 'of no class',
  power_state: 'Running',
  default_dispvm: null,
});

class Deciding {
  private readonly rules: readonly (readonly [number, Rule])[];
  private readonly known = new Map<string, number>();

  constructor(readonly service: string) {
    this.rules = [...policy.rules.entries()].filter(
      ([, { service: of, argument }]) =>
        (of === null || of === service) && (argument === null || argument === '+'),
    );
  }

  /** The number of the first line for a call from one end to the other. */
  first(source: Ask, target: Ask): number {
    const key = `${source} ${target}`;
    let line = this.known.get(key);
    if (line === undefined) {
      const from = isQube(source) ? 'the-source' : source;
      const to = isQube(target) ? 'the-target' : target;
      const system = { [from]: only(source), ...(to.startsWith('@') ? {} : { [to]: only(target) }) };
      const found = this.rules.find(
        ([, rule]) =>
          rule.source.matches(from, { system, source: from }) &&
          rule.target.matches(to, { system, source: from }),
      );
      line = found?.[0] ?? NO_LINE;
      this.known.set(key, line);
    }
    return line;
  }

  least(sources: readonly Ask[], targets: readonly Ask[]): number {
    let least = NO_LINE;
    for (const source of sources)
      for (const target of targets) least = Math.min(least, this.first(source, target));
    return least;
  }
}

const verdictOf = (line: number) => (line === NO_LINE ? 'deny' : policy.rules[line]!.action);
const isDenied = (line: number) => verdictOf(line) === 'deny';
const tagged = (tags: readonly string[]): Ask[] => tags.map((tag) => `@tag:${tag}`);

/** For every set of tags the least of the numbers of its tags. */
function leastOf(numbers: readonly number[]): Int32Array {
  const least = new Int32Array(1 << numbers.length).fill(NO_LINE);
  for (let set = 1; set < least.length; set += 1) {
    const bit = 31 - Math.clz32(set);
    least[set] = Math.min(least[set & ~(1 << bit)]!, numbers[bit]!);
  }
  return least;
}

const BOOT = [
  'FeaturesRequest',
  'GetDate',
  'GetRandomizedTime',
  'NotifyTools',
  'NotifyUpdates',
  'SyncAppMenus',
].map((name) => `qubes.${name}`);
const COPY = 'qubes.Filecopy';
const FOREIGN = [
  'qubes.VMShell',
  'qubes.OpenURL',
  'qubes.ConnectTCP',
  'admin.vm.List',
  'policy.List',
  'any.Other',
];
// A command of a plan has no line until a person approves it.
const STANDING = Object.keys(told.contracts).filter((name) => name !== 'qmcp.plan.Approved');
const SERVICES = ['qmcp.Catalog', ...STANDING, ...BOOT, COPY, ...FOREIGN];
const deciding = Object.fromEntries(SERVICES.map((service) => [service, new Deciding(service)]));

/** Calls that were decided: on a qube with any set of tags, of such a qube, and of files between two. */
const decided = { on: 0, from: 0, between: 0 };
afterAll(() => {
  const [on, from] = [decided.on, decided.from].map((count) => count.toLocaleString('en'));
  const between = `2^${Math.log2(decided.between).toFixed(1)}`;
  console.log(
    `membership: ${on} calls on qubes, ${from} of qubes, ${between} of files between them; ${SERVICES.length} services`,
  );
});

// INVARIANT scope.existence-hidden
// INVARIANT remove.is-a-tombstone
// INVARIANT crash.no-residue
// INVARIANT tiers.no-escalation
describe('what a qube is to a world', () => {
  it('is the same to dom0 and to the judge of the tests, for every set of tags and every class', () => {
    const [name, lab] = names as [string, string];
    const { world, sets } = answers[name]!;
    const judge = new Membership(name, world.principals, [lab]);
    const wrong: string[] = [];
    for (const klass of CLASSES)
      for (const elsewhere of [false, true])
        for (let set = 0; set < sets; set += 1) {
          const tags = [...answers[name]!.tagsOf(set), ...(elsewhere ? [world.other[0]!] : [])];
          const tier = judge.reach(klass, tags);
          const ours = `${judge.of(klass, tags).is} ${tier === undefined ? -1 : TIERS.indexOf(tier)}`;
          const { rows, tiers } = answers[name]![elsewhere ? 'elsewhere' : 'alone'][klass]!;
          const its = `${told.rows[rows[set]!]} ${tiers[set]}`;
          if (ours !== its) wrong.push(`${klass} ${tags}: ${ours}, and to dom0 ${its}`);
        }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  it('is nothing that an agent has while it has any tag of another world', () => {
    for (const name of names) {
      const { world } = answers[name]!;
      for (const each of world.elsewhere) expect(new Set(each)).toEqual(new Set(['elsewhere']));
      for (const klass of CLASSES)
        expect([klass, new Set(answers[name]!.elsewhere[klass]!.tiers)]).toEqual([klass, new Set([-1])]);
    }
  });

  it('leaves no tag that gives authority on a qube that is nobody’s, once qmcpd has looked', () => {
    const wrong: string[] = [];
    for (const name of names)
      for (const klass of CLASSES)
        answers[name]!.alone[klass]!.left.forEach((left, set) => {
          // Less, never more.
          if ((left & ~set) !== 0 || answers[name]!.row(klass, left) === 'half-enrolled')
            wrong.push(`${klass} ${answers[name]!.tagsOf(set)}: left with ${answers[name]!.tagsOf(left)}`);
        });
    expect(wrong.slice(0, 5)).toEqual([]);
  });
});

// INVARIANT policy.closed
describe('the policy', () => {
  it('lets a principal reach a qube with exactly the services for which the kernel lets it', () => {
    const wrong: string[] = [];
    let open = 0;
    for (const name of names) {
      const its = answers[name]!;
      const { world } = its;
      const other = tagged(world.other);
      for (const principal of world.principals)
        for (const service of SERVICES) {
          const from = [ANY, principal, '@type:AppVM'];
          const line = (target: Ask) => deciding[service]!.least(from, [target]);
          const numbers = tagged(world.tags).map(line);
          const own = leastOf(numbers);
          const tier = told.contracts[service]?.tier ?? null;
          // The date is dom0's to tell, whatever name is asked for it.
          const always = service === 'qubes.GetDate';
          for (const klass of CLASSES) {
            const base = Math.min(line(ANY), line(`@type:${klass}`));
            const { tiers, left } = its.alone[klass]!;
            const allows = (set: number) => !isDenied(Math.min(base, own[set]!));
            const may = (set: number) => always || (tier !== null && tiers[set]! >= tier);
            for (let set = 0; set < its.sets; set += 1) {
              if (left[set] === set) {
                if (allows(set) !== may(set))
                  wrong.push(`${service} on ${klass} ${its.tagsOf(set)}: ${allows(set)}`);
              } else if (allows(set) && !may(set)) open += 1;
            }
            // With a tag of another world besides: no line that lets it comes before the one that does not.
            for (const tag of other)
              if (
                !always &&
                [line(tag), ...[base, ...numbers].filter((each) => each < line(tag))].some(
                  (each) => !isDenied(each),
                )
              )
                wrong.push(`${service} on a qube with ${tag}`);
            decided.on += its.sets * 2 ** world.other.length;
          }
        }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    console.log(
      `membership: ${open.toLocaleString('en')} of the sets are open by a service until qmcpd has looked`,
    );
  });

  it('lets a qube with any tag of a world reach dom0 to boot, and nothing else', () => {
    const wrong: string[] = [];
    const qube = (...tags: string[]): Ask[] => [...tagged(tags), ANY, '@type:AppVM'];
    const nobodys: readonly (readonly Ask[])[] = [
      ['@adminvm'],
      ['@default'],
      ['@dispvm'],
      ['@dispvm:some-template'],
      ...['no-such-qube', 'sys-ai-net', 'mcp-control', 'lab-control'].map((one) => [one, ...qube()]),
      qube('ai-managed', 'ai-full', 'lab-managed', 'lab-full'),
      qube('ai-full', 'lab-dump'),
      ...names.flatMap((name) =>
        ['guard', 'tombstone'].map((tag) => qube(`${name}-managed`, `${name}-full`, `${name}-${tag}`)),
      ),
    ];
    const of = (name: string) => [qube(`${name}-managed`, `${name}-full`), qube(`${name}-dump`)];
    for (const name of names) {
      const its = answers[name]!;
      const tried = new Set<string>();
      for (const service of SERVICES.filter((each) => !BOOT.includes(each))) {
        const targets = names.filter((each) => service !== COPY || each !== name).flatMap(of);
        for (const target of [...nobodys, ...targets]) {
          const line = (source: Ask) => deciding[service]!.least([source], target);
          decided.from += its.sets * 2 ** its.world.other.length * CLASSES.length;
          const numbers = tagged(its.world.tags).map(line);
          // Most services have the same lines: those that are about every service.
          const key = [...numbers, ...[ANY, ...CLASSES.map((klass) => `@type:${klass}`)].map(line)].join();
          if (tried.has(key)) continue;
          tried.add(key);
          const least = leastOf(numbers);
          for (const klass of CLASSES) {
            const base = Math.min(line(ANY), line(`@type:${klass}`));
            for (let set = 1; set < its.sets; set += 1)
              if ((set & its.own) !== 0 && !isDenied(Math.min(base, least[set]!)))
                wrong.push(`${service} from ${klass} ${its.tagsOf(set)} to ${target}`);
            // With a tag of the other world besides, the first line is one of these, or one of those above.
            for (const tag of tagged(its.world.other))
              for (const mine of numbers.slice(0, its.world.tags.length - its.world.principals.length))
                if (!isDenied(Math.min(mine, line(tag)))) wrong.push(`${service} from ${tag} to ${target}`);
          }
        }
      }
      for (const service of BOOT)
        for (const klass of CLASSES)
          for (let set = 0; set < its.sets; set += 1) {
            const boots = ['member', 'guarded', 'disposable', 'tombstone', 'half-born', 'sink'];
            if (!boots.includes(its.row(klass, set))) continue;
            const from = [ANY, `@type:${klass}`, ...tagged(its.tagsOf(set))];
            const target = service === 'qubes.GetDate' ? '@default' : '@adminvm';
            if (isDenied(deciding[service]!.least(from, [target]))) wrong.push(`${service} ${from}`);
          }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  it('lets files go from a qube at tier exec to another or into a sink of the same world, and nowhere else', () => {
    const first = (source: Ask, target: Ask) => deciding[COPY]!.first(source, target);
    const wrong: string[] = [];
    for (const name of names) {
      const its = answers[name]!;
      const asks = [...tagged(its.world.tags), ...tagged(its.world.other)];
      const ends = (klass: string): Ask[] => [ANY, `@type:${klass}`];
      for (const from of ['AppVM', 'DispVM'])
        for (const to of ['AppVM', 'DispVM']) {
          const sources = profiles(
            its,
            from,
            (set) => sends(its, from, set),
            (ask) => [...asks, ...ends(to)].map((target) => first(ask, target)),
          );
          const targets = profiles(
            its,
            to,
            (set) => takes(its, to, set),
            (ask) => [...asks, ...ends(from)].map((source) => first(source, ask)),
          );
          for (const source of sources)
            for (const target of targets) {
              const line = Math.min(
                ...source.lines.slice(-2),
                ...target.bits.map((bit) => source.lines[bit]!),
              );
              if (!isDenied(line) !== (source.may && target.may))
                wrong.push(`${from} ${source.tags} to ${to} ${target.tags}: ${verdictOf(line)}`);
              decided.between += source.sets * target.sets;
            }
        }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  it('decides by the first line for any one tag of either end', () => {
    let seed = 20_000;
    const draw = (below: number) => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    const all = names.flatMap((name) => told.worlds[name]!.tags);
    const some = () => all.filter(() => draw(4) === 0);
    const wrong: string[] = [];
    for (let at = 0; at < 20_000; at += 1) {
      const service = SERVICES[draw(SERVICES.length)]!;
      const drawn = () => ({ ...only(ANY), type: CLASSES[draw(CLASSES.length)]!, tags: some() });
      const [source, target] = [drawn(), drawn()];
      const from = draw(3) === 0 ? 'mcp-control' : 'the-source';
      const system: PolicySystem = { [from]: source, 'the-target': target };
      const { verdict } = evaluate(policy, system, {
        service,
        argument: '',
        source: from,
        target: 'the-target',
      });
      const line = deciding[service]!.least(
        [ANY, from, `@type:${source.type}`, ...tagged(source.tags)],
        [ANY, `@type:${target.type}`, ...tagged(target.tags)],
      );
      // A call on a remote qube goes to its relay, and these have none.
      const mayGo = target.type !== 'RemoteVM' || (line !== NO_LINE && policy.rules[line]!.redirect !== null);
      const isAllowed = mayGo && line !== NO_LINE && policy.rules[line]!.action === 'allow';
      if (isAllowed ? verdict !== 'allow' : verdict === 'allow')
        wrong.push(
          `${service} from ${from} ${source.tags} to ${target.tags}: ${verdict}, not ${verdictOf(line)}`,
        );
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });
});

/** Sets of tags that no line about files tells apart. */
interface Profile {
  /** One of them, by name and by number. */
  readonly tags: readonly string[];
  readonly bits: readonly number[];
  /** The first line, by what the other end is asked for. */
  readonly lines: readonly number[];
  readonly may: boolean;
  /** How many there are. */
  sets: number;
}

function profiles(
  its: Answers,
  klass: string,
  may: (set: number) => boolean,
  lines: (ask: Ask) => readonly number[],
): Profile[] {
  const vectors: (readonly number[])[] = [];
  const ids = new Map<string, number>();
  const idOf = (vector: readonly number[]) => {
    const key = vector.join();
    let id = ids.get(key);
    if (id === undefined) {
      id = vectors.push(vector) - 1;
      ids.set(key, id);
    }
    return id;
  };
  const perTag = tagged(its.world.tags).map(lines);
  const joined = new Map<number, number>();
  const join = (id: number, bit: number) => {
    const key = id * perTag.length + bit;
    let found = joined.get(key);
    if (found === undefined) {
      found = idOf(vectors[id]!.map((line, at) => Math.min(line, perTag[bit]![at]!)));
      joined.set(key, found);
    }
    return found;
  };
  const found = new Map<string, Profile>();
  for (const other of ['', ...its.world.other]) {
    const base = [ANY, `@type:${klass}`, ...(other ? tagged([other]) : [])].map(lines);
    const of = new Int32Array(its.sets);
    of[0] = idOf(base.reduce((one, next) => one.map((line, at) => Math.min(line, next[at]!))));
    for (let set = 0; set < its.sets; set += 1) {
      if (set > 0) {
        const bit = 31 - Math.clz32(set);
        of[set] = join(of[set & ~(1 << bit)]!, bit);
      }
      // What qmcpd has taken off is not there; and what has no tag of a world is nobody's affair here.
      if ((set & its.own) === 0 || (other === '' && its.alone[klass]!.left[set] !== set)) continue;
      const whether = other === '' && may(set);
      const key = `${of[set]} ${whether}`;
      const known = found.get(key) ?? {
        tags: [...its.tagsOf(set), ...(other ? [other] : [])],
        bits: [
          ...its.world.tags.flatMap((_, bit) => ((set >> bit) & 1 ? [bit] : [])),
          ...(other ? [its.world.tags.length + its.world.other.indexOf(other)] : []),
        ],
        lines: vectors[of[set]!]!,
        may: whether,
        sets: 0,
      };
      known.sets += other === '' ? 1 : 2 ** its.world.other.length / its.world.other.length;
      found.set(key, known);
    }
  }
  return [...found.values()];
}

const sends = (its: Answers, klass: string, set: number): boolean =>
  its.alone[klass]!.tiers[set]! >= 1 && !its.has(set, its.world.sink);

const takes = (its: Answers, klass: string, set: number): boolean => {
  const row = its.row(klass, set);
  const into = its.has(set, its.world.sink) && klass !== 'DispVM' && ['member', 'sink'].includes(row);
  return its.alone[klass]!.tiers[set]! >= 1 || into;
};

describe('on a host', () => {
  let harness: Harness;
  afterEach(() => harness.close());
  const tags = (name: string) => harness.qube(name)!.tags.filter((tag) => /^(ai|lab)-/.test(tag));
  /** What the table says is left on a qube of the operator's. */
  const left = (given: readonly string[]) => {
    let now = given;
    for (let before: readonly string[] = []; before.length !== now.length; ) {
      before = now;
      now = names.reduce<readonly string[]>((those, name) => {
        const { world, alone, elsewhere } = answers[name]!;
        const set = world.tags.reduce((sum, tag, bit) => sum + (those.includes(tag) ? 1 << bit : 0), 0);
        const of = (world.other.some((tag) => those.includes(tag)) ? elsewhere : alone).AppVM!;
        return those.filter(
          (tag) => !((of.lost[set]! >> world.tags.indexOf(tag)) & 1) || !world.tags.includes(tag),
        );
      }, now);
    }
    return [...now].sort();
  };
  const SAMPLE = [
    ['ai-exec'],
    ['ai-full', 'ai-disp-full', 'ai-born'],
    ['ai-dump', 'ai-net'],
    ['ai-tombstone', 'ai-full'],
    ['ai-managed', 'ai-full', 'lab-exec'],
    ['ai-managed', 'ai-full', 'lab-managed', 'lab-full'],
    ['ai-managed', 'ai-guard', 'ai-full'],
    ['ai-managed', 'ai-exec'],
  ];

  it('qmcpd takes off what the table says, as soon as the operator has put it on', async () => {
    harness = await Harness.start({
      prepare: (root) => writeFileSync(join(root, 'etc/qmcp/qmcp.toml'), readFileSync(toml)),
    });
    // Once this is answered, it has looked around for the second world, too.
    await harness.call('@adminvm', 'qmcp.inspect.List', {}, 'lab-control');
    for (const given of SAMPLE) {
      for (const tag of given) await harness.operator('admin.vm.tag.Set', 'work', tag);
      await eventually(() => tags('work').sort()).toEqual(left(given));
      for (const tag of tags('work')) await harness.operator('admin.vm.tag.Remove', 'work', tag);
      await eventually(() => tags('work')).toEqual([]);
    }
  });

  it('a tag that gives authority is off before qmcpd answers for the first time, and an agent reaches nothing by it', async () => {
    harness = await Harness.start();
    await harness.sim.qmcpd.kill();
    for (const tag of ['ai-full', 'ai-born']) await harness.operator('admin.vm.tag.Set', 'vault', tag);
    await harness.operator('admin.vm.tag.Remove', 'ai-debian', 'ai-managed');
    await harness.sim.qmcpd.start();
    expect((await harness.ask('vault', 'qmcp.inspect.State')).code).toBe('not-found');
    expect([tags('vault'), tags('ai-debian')]).toEqual([[], []]);
    expect((await harness.call('vault', 'qmcp.spawn.Start')).exit).toBe(126);
  });
});
