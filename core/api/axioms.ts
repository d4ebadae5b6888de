import { covers, isRule, ruleOf } from './egress.js';
import { defineInvariant, type HostSnapshot, type QubeSnapshot, type WorldSnapshot } from './invariant.js';
import {
  BIRTH_NETWORK,
  born,
  changed,
  ENTOMBED,
  isDown,
  Marks,
  possibleSources,
  same,
  settings,
  sourcesOf,
  stayed,
} from './marks.js';
import { TIERS } from './names.js';

/*
 * What dom0 upholds for every contract, one entry for each `[invariant.…]` of its vocabulary. `holds` is a check of the host
 * over any one call, whatever tool made it. Where the statement is about replies, the host cannot show it all; a comment
 * says what of it a check of the host can see.
 */

type Holds = (before: HostSnapshot, after: HostSnapshot, marks: Marks) => boolean;

const dom0 = (id: string, statement: string, holds: Holds) =>
  defineInvariant(id, { statement, enforcedBy: 'dom0', holds: seenThrough(holds) });
const policy = (id: string, statement: string, holds: Holds) =>
  defineInvariant(id, { statement, enforcedBy: 'policy', holds: seenThrough(holds) });
const seenThrough = (holds: Holds) => (before: HostSnapshot, after: HostSnapshot, world: WorldSnapshot) =>
  holds(before, after, new Marks(world));

// ---- who may be seen

export const existenceHidden = dom0(
  'scope.existence-hidden',
  'A name that does not exist and a name outside the world get byte-identical replies, from every service, after the same kind and number of qubesd calls.',
  // About replies. The host shows that nothing outside the world comes into being or ends by asking for it.
  (before, after, marks) => {
    const outside = ({ qubes }: HostSnapshot) =>
      qubes.filter((qube) => !marks.concerns(qube)).map(({ name, klass }) => `${klass} ${name}`);
    return same(outside(before).sort(), outside(after).sort());
  },
);

export const valuesRedacted = dom0(
  'scope.values-redacted',
  'No reply, event or error names a qube outside the world (enrolled gateways excepted), an address, a pool, a volume path or exception text.',
  // About replies. The host shows that what is outside stays as it was, so that nothing of it can be learned by its reaction.
  (before, after, marks) =>
    stayed(before, after).every(([was, is]) => marks.concerns(was) || unmoved(was, is)),
);

export const selfExcluded = dom0(
  'scope.self-excluded',
  'A principal is never the object of its own call, nor is any other principal, gateway or dom0.',
  (before, after, { excluded }) => {
    const look = ({ qubes }: HostSnapshot) =>
      qubes.filter(({ name }) => excluded.has(name)).map((qube) => [qube.name, settings(qube)]);
    return same(look(before), look(after));
  },
);

// ---- tags and tiers

export const tagsOperatorOnly = dom0(
  'tags.operator-only',
  'No call adds or removes a tag, except the marks of birth and the tombstone’s.',
  (before, after, marks) => {
    const ladder = [marks.umbrella, ...marks.tiers];
    const only = (tags: string[], allowed: readonly string[]) => tags.every((tag) => allowed.includes(tag));
    const stay = stayed(before, after)
      .filter(([was]) => marks.isFinished(was))
      .every(([was, is]) => {
        const added = settings(is).tags.filter((tag) => !was.tags.includes(tag));
        const removed = settings(was).tags.filter((tag) => !is.tags.includes(tag));
        const changed = [...added, ...removed];
        return changed.length === 0 || same(changed, [marks.tombstone]);
      });
    const ofBirth = [...ladder, marks.born, ...marks.disposable, ...marks.stamps, ...marks.restrictions];
    return (
      stay &&
      born(before, after).every((qube) => {
        const sources = qube.klass === 'DispVM' ? possibleSources(qube, before) : [];
        return only(settings(qube).tags, [...ofBirth, ...sources.flatMap(({ tags }) => tags)]);
      })
    );
  },
);

export const tiersUnreadable = dom0(
  'tiers.unreadable',
  'Tier, guard and restriction tags never reach an agent, by value, event name or error.',
  // About replies. The host shows that no such tag gets to where an agent reads: the features listed for its world.
  (before, after, marks) => {
    const secrets = [...marks.tiers, ...marks.restrictions];
    const shown = ({ qubes }: HostSnapshot) =>
      qubes.flatMap(({ name, features }) =>
        marks.world.features
          .filter((feature) => secrets.includes(features[feature] ?? ''))
          .map((feature) => `${name} ${feature}`),
      );
    const then = shown(before);
    return shown(after).every((one) => then.includes(one));
  },
);

export const noEscalation = dom0(
  'tiers.no-escalation',
  'No sequence of calls gives the world a capability on any qube that the operator did not give it; children are born at most at their source’s tier, clamped by the world’s birth ceiling.',
  (before, after, marks) => {
    const ceiling = TIERS.indexOf(marks.world.birthCeiling);
    return (
      stayed(before, after).every(
        ([was, is]) => !marks.isFinished(was) || marks.rank(is) <= marks.rank(was),
      ) &&
      born(before, after).every((qube) => {
        const most = Math.max(-1, ...possibleSources(qube, before).map((source) => marks.rank(source)));
        return marks.rank(qube) <= Math.min(most, ceiling);
      })
    );
  },
);

export const restrictionsInherit = dom0(
  'restrictions.inherit',
  'Restriction tags of a source (guard, egress lock, anonymity) are carried by every child; no call changes the rules or the network of a qube with an egress lock.',
  // Being taken off it included, though any other qube may leave its network.
  (before, after, marks) => {
    const locked = stayed(before, after).filter(([was]) => was.tags.includes(marks.egressLock));
    const kept = locked.every(
      ([was, is]) => was.properties.netvm === is.properties.netvm && same(was.firewall, is.firewall),
    );
    // What is half made is nobody's yet.
    const children = born(before, after).filter((child) => marks.isFinished(child));
    return (
      kept &&
      children.every((child) => {
        const carries = (source: QubeSnapshot) =>
          marks.restrictionsOf(source).every((tag) => child.tags.includes(tag));
        const named = sourcesOf(child, before, after);
        if (named.length > 0) return named.every(carries);
        // Where the log does not say whose child it is, it may be that of any.
        const sources = possibleSources(child, before).filter((qube) => marks.inScope(qube));
        return sources.length === 0 || sources.some(carries);
      })
    );
  },
);

// ---- birth

export const bornTagged = dom0(
  'birth.tagged-before-named',
  'A created qube carries the umbrella and its owner stamp before the caller learns its name; if any later step fails it is removed, and a failed removal is reported as such.',
  (before, after, marks) =>
    born(before, after).every(
      (qube) => qube.tags.includes(marks.umbrella) && marks.isOurs(qube) && marks.isFinished(qube),
    ),
);

export const namespace = dom0(
  'birth.namespace',
  'Created names match the world’s prefix; refusal depends on the shape of the name alone, before any look-up.',
  (before, after, { world }) =>
    born(before, after).every(({ name, klass }) =>
      // A disposable's name is the platform's choice.
      klass === 'DispVM' ? /^disp\d+$/.test(name) : name.startsWith(world.prefix),
    ),
);

/** What a call can bring into being: an AppVM, one that disposables are made from, a disposable. */
export type BirthClass = 'AppVM' | 'DispVMTemplate' | 'DispVM';

/** The one axiom with parameters: a contract says which of the classes it makes, and dom0 holds it to them. */
export const birthClass = (...classes: BirthClass[]) =>
  defineInvariant('birth.class', {
    statement:
      'Only AppVM, disposable templates (AppVM with the flag) and DispVM are created; TemplateVM and StandaloneVM never.',
    enforcedBy: 'dom0',
    with: { classes },
    holds: (before, after) =>
      born(before, after).every(({ klass, properties }) => {
        const made = properties.template_for_dispvms === 'True' ? 'DispVMTemplate' : klass;
        return (classes as string[]).includes(made) && ['AppVM', 'DispVM'].includes(klass);
      }),
  });

export const egressInherited = dom0(
  'birth.egress-inherited',
  'A child sits on its workload source’s network (none included), else on its world’s birth gateway; a template’s own network is never inherited.',
  (before, after, marks) =>
    born(before, after).every((child) => {
      const workloads = possibleSources(child, before).filter(({ klass }) => klass !== 'TemplateVM');
      const inherited = workloads.map((source) => source.properties.netvm ?? '');
      const { netvm = '' } = child.properties;
      return ['', marks.world.birthGateway ?? '', ...inherited].includes(netvm);
    }),
);

const ESCAPE_HATCHES = ['default_dispvm', 'guivm', 'audiovm', 'management_dispvm'];

export const noEscapeHatch = dom0(
  'birth.no-escape-hatch',
  'Children have no `default_dispvm`, no `guivm`, `audiovm` or `management_dispvm`, no autostart, no preloaded disposables.',
  (before, after) =>
    born(before, after).every(
      ({ properties, features }) =>
        ESCAPE_HATCHES.every((property) => (properties[property] ?? '') === '') &&
        properties.autostart !== 'True' &&
        features['preload-dispvm-max'] === undefined,
    ),
);

// ---- network

export const neverWidens = dom0(
  'egress.never-widens',
  'No call gives a qube a network it did not have at birth; disconnecting is allowed unless its egress is locked, reconnecting only to its birth gateway.',
  (before, after) =>
    stayed(before, after).every(([was, is]) => {
      const network = was.properties.netvm ?? '';
      // What is not born by a call has as its home what it was on when a call first took it off.
      const home = was.features[BIRTH_NETWORK] ?? network;
      return (
        ['', network, home].includes(is.properties.netvm ?? '') &&
        [was.features[BIRTH_NETWORK], home].includes(is.features[BIRTH_NETWORK])
      );
    }) &&
    born(before, after).every(
      ({ properties, features }) =>
        features[BIRTH_NETWORK] === undefined || features[BIRTH_NETWORK] === (properties.netvm ?? ''),
    ),
);

export const gatewaysOnly = dom0(
  'egress.gateways-only',
  'No qube of the world is put on a network qube, or started on one, that is not an enrolled gateway.',
  (before, after, marks) => {
    const then = new Map(before.qubes.map((qube) => [qube.name, qube]));
    return after.qubes.every((is) => {
      const was = then.get(is.name);
      const { netvm = '' } = is.properties;
      const asBefore =
        was?.properties.netvm === is.properties.netvm && (was?.state === is.state || isDown(is));
      return !marks.concerns(is) || netvm === '' || asBefore || marks.world.gateways.includes(netvm);
    });
  },
);

export const noNewGateway = dom0(
  'egress.no-new-gateway',
  '`provides_network` is never written, a gateway’s network never changed.',
  (before, after, { world }) => {
    const then = new Map(before.qubes.map((qube) => [qube.name, qube.properties]));
    return after.qubes.every(({ name, properties }) => {
      const was = then.get(name);
      const provides = properties.provides_network ?? 'False';
      return (
        provides === (was?.provides_network ?? 'False') &&
        (!world.gateways.includes(name) || was?.netvm === properties.netvm)
      );
    });
  },
);

/** Lines qubesd takes, the final drop included. */
const MAX_RULES = 128;

export const withinCeiling = dom0(
  'egress.within-ceiling',
  'Firewall rules written by a call are a subset of the operator’s ceiling, end in drop, and are at most 128.',
  (before, after, { world }) => {
    const then = new Map(before.qubes.map(({ name, firewall }) => [name, firewall]));
    return after.qubes
      .filter(({ name, firewall }) => !same(then.get(name), firewall))
      .every(({ firewall }) => {
        const rules = firewall.slice(0, -1).map(ruleOf);
        return (
          firewall.length <= MAX_RULES &&
          firewall.at(-1) === 'action=drop' &&
          rules.every((rule) => rule && isRule(rule) && world.egress.some((one) => covers(one, rule)))
        );
      });
  },
);

// ---- budget

export const budgetHard = dom0(
  'budget.hard',
  'Disk (persistent bytes, tombstones included), count of qubes, memory, vcpus, calls per minute, creates per hour and concurrent calls never exceed the world’s budget, under any concurrency.',
  // The rates and the calls under way are not on the host. What was beyond a limit before (the operator lowered it) may stay.
  (before, after, marks) => {
    const { budget } = marks.world;
    const [was, is] = [marks.usage(before), marks.usage(after)];
    const lines = Object.keys(was) as (keyof typeof was)[];
    const then = new Map(before.qubes.map(({ name, disk }) => [name, disk]));
    // A qube runs with what it had when it started: were that written lower, it would be counted for less than it has.
    const running = stayed(before, after).filter(
      ([was, is]) => (marks.isOurs(was) || marks.inScope(was)) && !isDown(was) && !isDown(is),
    );
    return (
      lines.every((line) => is[line] <= Math.max(budget[line], was[line])) &&
      running.every(([was, is]) =>
        ['memory', 'maxmem', 'vcpus'].every((name) => was.properties[name] === is.properties[name]),
      ) &&
      after.qubes.every(
        (qube) =>
          !marks.isOurs(qube) ||
          qube.klass === 'DispVM' ||
          qube.disk <= Math.max(budget.private_size, then.get(qube.name) ?? 0),
      )
    );
  },
);

export const numbersPrivate = dom0(
  'budget.numbers-private',
  'A refusal echoes no number; the agent reads used, limit and left from the budget service, which predicts the gate exactly and shows nothing of the pool.',
  // About replies. The host shows the prediction: no line grows by more than the budget service said was left of it.
  (before, after, marks) => {
    const { budget } = marks.world;
    const [was, is] = [marks.usage(before), marks.usage(after)];
    return (Object.keys(was) as (keyof typeof was)[]).every((line) => {
      const left = Math.max(budget[line] - was[line], 0);
      return is[line] - was[line] <= left;
    });
  },
);

// ---- settings and devices

export const propsAllowlist = dom0(
  'props.allowlist',
  'Only listed properties and features can be written, each with its own type and range; every other name gets one uniform refusal.',
  (before, after, marks) => {
    const { world } = marks;
    // The network has verbs of its own; a limit of memory that nobody set follows the memory.
    const properties = new Set([...world.properties, 'netvm']);
    if (properties.has('memory')) properties.add('maxmem');
    const features = new Set([...world.features, BIRTH_NETWORK, ENTOMBED]);
    return stayed(before, after)
      .filter(([was]) => marks.isFinished(was))
      .map(([was, is]) => [settings(was), settings(is)] as const)
      .every(
        ([was, is]) =>
          changed(was.properties, is.properties).every((name) => properties.has(name)) &&
          changed(was.features, is.features).every((name) => features.has(name)),
      );
  },
);

const DEVICE_CLASSES = ['block', 'usb', 'mic'];

export const bothEnds = dom0(
  'devices.both-ends',
  'Attach and detach need both ends in scope at full tier; classes block, usb and mic only; options are an allowlist.',
  (before, after, marks) => {
    const full = new Set(
      before.qubes
        .filter((qube) => marks.inScope(qube) && marks.tier(qube) === 'full')
        .map(({ name }) => name),
    );
    const uses = ({ qubes }: HostSnapshot) =>
      qubes.flatMap(({ name, attached = [] }) =>
        attached.map(({ devclass, backend, port }) => ({ name, devclass, backend, port })),
      );
    // A device also goes when an end of it does.
    const up = new Set(after.qubes.filter((qube) => !isDown(qube)).map(({ name }) => name));
    const [then, now] = [uses(before), uses(after)];
    const without = (some: typeof then, others: typeof then) =>
      some.filter((one) => !others.some((other) => same(one, other)));
    const moved = [
      ...without(now, then),
      ...without(then, now).filter(({ name, backend }) => up.has(name) && up.has(backend)),
    ];
    return moved.every(
      ({ name, backend, devclass }) =>
        full.has(name) && full.has(backend) && DEVICE_CLASSES.includes(devclass),
    );
  },
);

// ---- end

export const removeIsATombstone = dom0(
  'remove.is-a-tombstone',
  'Remove halts and marks, and the mark alone takes a qube out of every reach; it keeps its charge, and can be restored to what its tags say then, until the operator’s retention ends; only the timer reaps.',
  (before, after, marks) => {
    const left = new Set(after.qubes.map(({ name }) => name));
    return (
      before.qubes.every(
        (qube) =>
          left.has(qube.name) || qube.klass === 'DispVM' || (marks.isOurs(qube) && !marks.isFinished(qube)),
      ) &&
      stayed(before, after).every(([was, is]) => {
        if (!is.tags.includes(marks.tombstone)) return true;
        return isDown(is) && is.disk === was.disk && is.features[ENTOMBED] !== undefined;
      })
    );
  },
);

// ---- whatever happens

export const auditComplete = dom0(
  'audit.complete',
  'Every call that may change something leaves an intent and an outcome in a hash-chained log; if the intent cannot be written nothing happens. Values and payloads are never logged.',
  (before, after) => {
    if (before.dom0 === undefined || after.dom0 === undefined) return true;
    const [then, now] = [before.dom0.audit, after.dom0.audit];
    if (!same(now.slice(0, then.length), then)) return false;
    const added = now.slice(then.length);
    const acted = added.some(
      ({ kind, call }, index) =>
        kind === 'intent' &&
        added.slice(index).some((later) => later.kind === 'outcome' && later.call === call),
    );
    return acted || same(before.qubes, after.qubes);
  },
);

export const noResidue = dom0(
  'crash.no-residue',
  'If qmcpd, qubesd or the machine dies at any point, what remains after restart is either the whole effect or none, and in between the less-authority state.',
  // What remains is whole: no birth without its last mark, no removal without its time, and no time without the removal.
  (_before, after, marks) =>
    after.qubes
      .filter((qube) => marks.concerns(qube))
      .every((qube) => {
        const removed = qube.tags.includes(marks.tombstone);
        return marks.isFinished(qube) && removed === (qube.features[ENTOMBED] !== undefined);
      }),
);

export const frozenMeansFrozen = dom0(
  'frozen.means-frozen',
  'After `qmcp-admin freeze`, no call of that world has an effect until `thaw`.',
  (before, after, { world }) => !world.frozen || same(before.qubes, after.qubes),
);

// ---- the policy

/** What a qube needs of dom0 to boot. */
const BOOT = [
  'qubes.FeaturesRequest',
  'qubes.GetDate',
  'qubes.GetRandomizedTime',
  'qubes.NotifyTools',
  'qubes.NotifyUpdates',
  'qubes.SyncAppMenus',
];
const CATALOG = 'qmcp.Catalog';

/** A line of policy that lets something through. */
const allowing = (line: string) => {
  const [service = '', argument = '', source = '', target = '', ...action] = line.trim().split(/\s+/);
  return action[0] === 'deny' ? [] : [{ service, argument, source, target, action }];
};

export const policyClosed = policy(
  'policy.closed',
  'A qube of the world can reach dom0 only for boot services; no form of `@dispvm`, no principal, no qube of another world; a principal can reach only what its line names.',
  // Without dom0's files in sight, the host shows what a call past the policy would leave: a change of what is outside.
  (before, after, marks) => {
    const untouched = stayed(before, after).every(([was, is]) => marks.concerns(was) || unmoved(was, is));
    if (before.dom0 === undefined || after.dom0 === undefined) return untouched;
    const { principals } = marks.world;
    const qubes = [`@tag:${marks.umbrella}`, `@tag:${marks.tombstone}`];
    const closed = after.dom0.policy.flatMap(allowing).every(({ service, source, target, action }) => {
      const named = [target, ...action].join(' ');
      if (principals.includes(source)) return service.startsWith('qmcp.') || BOOT.includes(service);
      if (!qubes.includes(source)) return true;
      const dom0 = /@adminvm|\bdom0\b/.test(named);
      const out = /@dispvm/.test(named) || principals.includes(target);
      return !out && (!dom0 || BOOT.includes(service));
    });
    return untouched && closed && same(before.dom0.policy, after.dom0.policy);
  },
);

export const policyConsistent = policy(
  'policy.consistent',
  'The generated policy grants exactly the services whose contracts are installed; a contract without its line, or a line without its contract, is reported.',
  (_before, { dom0 }) => {
    if (dom0 === undefined) return true;
    const granted = dom0.policy
      .flatMap(allowing)
      .map(({ service }) => service)
      .filter((service) => service.startsWith('qmcp.') && service !== CATALOG);
    return same([...new Set(granted)].sort(), [...new Set(dom0.contracts)].sort());
  },
);

/** All of them, in the order of dom0's vocabulary. */
export const AXIOMS = Object.freeze([
  existenceHidden,
  valuesRedacted,
  selfExcluded,
  tagsOperatorOnly,
  tiersUnreadable,
  noEscalation,
  restrictionsInherit,
  bornTagged,
  namespace,
  birthClass('AppVM', 'DispVMTemplate', 'DispVM'),
  egressInherited,
  noEscapeHatch,
  neverWidens,
  gatewaysOnly,
  noNewGateway,
  withinCeiling,
  budgetHard,
  numbersPrivate,
  propsAllowlist,
  bothEnds,
  removeIsATombstone,
  auditComplete,
  noResidue,
  frozenMeansFrozen,
  policyClosed,
  policyConsistent,
] as const);

const unmoved = (was: QubeSnapshot, is: QubeSnapshot): boolean => same(settings(was), settings(is));
