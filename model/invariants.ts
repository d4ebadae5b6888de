/**
 * The judge: for every invariant, a check of the host before and after a call of any tool. If a statement is about replies,
 * the host cannot show all of it; a comment says which part the check covers.
 */
import { FEATURE, NAMES, SERVICE } from '../core/api/generated/names.js';
import {
  covers,
  INVARIANTS,
  type Invariant,
  type InvariantId,
  isInvariantId,
  isRule,
  LIMITS,
  TIERS,
} from '../core/api/index.js';
import { ruleOf } from './rule.js';
import type { HostSnapshot, QubeSnapshot, WorldSnapshot } from './snapshot.js';
import {
  changedKeys,
  createdQubes,
  isDown,
  isEqual,
  possibleSources,
  settings,
  sourcesOf,
  survivingQubes,
  WorldTags,
} from './world-tags.js';

/** A statement about the host, and a check that it still holds after a change from `before` to `after`. */
export interface Check {
  readonly id: string;
  readonly statement: string;
  holds(before: HostSnapshot, after: HostSnapshot, world: WorldSnapshot): boolean;
}

type Predicate = (
  before: HostSnapshot,
  after: HostSnapshot,
  worldTags: WorldTags,
  parameters: Invariant['with'],
) => boolean;

/** The lines that qubesd accepts, including the final drop. */
const MAX_LINES = LIMITS.firewall_rules + 1;

const DEVICE_CLASSES: readonly string[] = NAMES.device_classes;

/** Whether a network qube applies the rules of the qubes on it, by its features and those of its templates. */
function appliesRules(name: string, { qubes }: HostSnapshot): boolean {
  const inherited = (feature: string, of = name): string | undefined => {
    const qube = qubes.find((one) => one.name === of);
    return qube && (qube.features[feature] ?? inherited(feature, qube.properties.template ?? ''));
  };
  const own = qubes.find((qube) => qube.name === name)?.features ?? {};
  return (
    !!inherited(FEATURE.filters) && own[FEATURE.filter_service] !== '' && !inherited(FEATURE.tor_gateway)
  );
}

/** The services of dom0 that a qube needs to boot. */
const BOOT_SERVICES: readonly string[] = [...NAMES.boot_services, SERVICE.date];

/** The parts of a policy line that allows something; empty for any other line. */
const allowingLine = (line: string) => {
  const [service = '', argument = '', source = '', target = '', ...action] = line.trim().split(/\s+/);
  return action[0] === 'deny' ? [] : [{ service, argument, source, target, action }];
};

/** The tags that may open a qube to an agent. */
const authority = ({ umbrella, bornTag, tierTags, disposableTags }: WorldTags): readonly string[] => [
  umbrella,
  bornTag,
  ...tierTags,
  ...disposableTags,
];

const PREDICATES: Readonly<Record<InvariantId, Predicate>> = {
  // ---- who may be seen

  'scope.existence-hidden':
    // About replies. The host shows that a call creates and removes nothing outside the world.
    (before, after, worldTags) => {
      const outside = ({ qubes }: HostSnapshot) =>
        qubes.filter((qube) => !worldTags.isRelated(qube)).map((qube) => `${qube.class} ${qube.name}`);
      return isEqual(outside(before).sort(), outside(after).sort());
    },

  'scope.values-redacted':
    // About replies. The host shows that a call changes nothing outside the world, so its effects reveal nothing.
    (before, after, worldTags) =>
      survivingQubes(before, after).every(([was, is]) => worldTags.isRelated(was) || isUnchanged(was, is)),

  'scope.self-excluded': (before, after, { excluded }) => {
    const look = ({ qubes }: HostSnapshot) =>
      qubes.filter(({ name }) => excluded.has(name)).map((qube) => [qube.name, settings(qube)]);
    return isEqual(look(before), look(after));
  },

  // ---- what the operator is asked

  'consent.names-the-qube':
    // The log shows the argument of a call that names another qube than its target. Such a call changes nothing.
    (_before, { dom0 }) =>
      (dom0?.audit ?? []).every(({ kind, argument }) => kind !== 'intent' || argument === undefined),

  'consent.opens-nothing':
    // A question has the source and the target of a line that could allow: a principal, and dom0 or a tag that gives authority.
    (_before, { dom0 }, worldTags) =>
      (dom0?.policy ?? [])
        .flatMap(allowingLine)
        .filter(({ service, action }) => service.startsWith('qmcp.') && action[0] === 'ask')
        .every(
          ({ source, target }) =>
            worldTags.world.principals.includes(source) &&
            ['@adminvm', ...authority(worldTags).map((tag) => `@tag:${tag}`)].includes(target),
        ),

  // ---- tags and tiers

  'tags.operator-only': (before, after, worldTags) => {
    const ladder = [worldTags.umbrella, ...worldTags.tierTags];
    const only = (tags: string[], allowed: readonly string[]) => tags.every((tag) => allowed.includes(tag));
    const stay = survivingQubes(before, after)
      .filter(([was]) => worldTags.isFinished(was))
      .every(([was, is]) => {
        const added = settings(is).tags.filter((tag) => !was.tags.includes(tag));
        const removed = settings(was).tags.filter((tag) => !is.tags.includes(tag));
        const changed = [...added, ...removed];
        return changed.length === 0 || isEqual(changed, [worldTags.tombstone]);
      });
    const ofBirth = [
      ...ladder,
      worldTags.bornTag,
      ...worldTags.disposableTags,
      ...worldTags.ownerStamps,
      ...worldTags.restrictionTags,
    ];
    return (
      stay &&
      createdQubes(before, after).every((qube) => {
        const sources = qube.class === 'DispVM' ? possibleSources(qube, before) : [];
        return only(settings(qube).tags, [...ofBirth, ...sources.flatMap(({ tags }) => tags)]);
      })
    );
  },

  'tiers.unreadable':
    // About replies. The host shows that no such tag gets into the features that an agent can read.
    (before, after, worldTags) => {
      const secrets = [...worldTags.tierTags, ...worldTags.restrictionTags];
      const shown = ({ qubes }: HostSnapshot) =>
        qubes.flatMap(({ name, features }) =>
          worldTags.world.features
            .filter((feature) => secrets.includes(features[feature] ?? ''))
            .map((feature) => `${name} ${feature}`),
        );
      const then = shown(before);
      return shown(after).every((one) => then.includes(one));
    },

  'tiers.no-escalation': (before, after, worldTags) => {
    const ceiling = TIERS.indexOf(worldTags.world.birthCeiling);
    return (
      survivingQubes(before, after).every(
        ([was, is]) => !worldTags.isFinished(was) || worldTags.rank(is) <= worldTags.rank(was),
      ) &&
      createdQubes(before, after).every((qube) => {
        const most = Math.max(
          -1,
          ...possibleSources(qube, before).map((source) => worldTags.rankAsSource(source)),
        );
        return worldTags.rank(qube) <= Math.min(most, ceiling);
      })
    );
  },

  'restrictions.inherit':
    // A locked qube cannot even be disconnected, unlike any other qube.
    (before, after, worldTags) => {
      const locked = survivingQubes(before, after).filter(([was]) => was.tags.includes(worldTags.egressLock));
      const kept = locked.every(
        ([was, is]) => was.properties.netvm === is.properties.netvm && isEqual(was.firewall, is.firewall),
      );
      // A half-created qube is not a member yet.
      const children = createdQubes(before, after).filter((child) => worldTags.isFinished(child));
      return (
        kept &&
        children.every((child) => {
          const carries = (source: QubeSnapshot) =>
            worldTags.restrictionsOf(source).every((tag) => child.tags.includes(tag));
          const named = sourcesOf(child, before, after);
          if (named.length > 0) return named.every(carries);
          // If the log does not name the source, any possible source will do.
          const sources = possibleSources(child, before).filter((qube) => worldTags.inScope(qube));
          return sources.length === 0 || sources.some(carries);
        })
      );
    },

  // ---- birth

  'birth.tagged-before-named': (before, after, worldTags) =>
    createdQubes(before, after).every(
      (qube) =>
        qube.tags.includes(worldTags.umbrella) && worldTags.isMadeByWorld(qube) && worldTags.isFinished(qube),
    ),

  'birth.namespace': (before, after, { world }) =>
    createdQubes(before, after).every((qube) =>
      // A disposable's name is the platform's choice.
      qube.class === 'DispVM' ? /^disp\d+$/.test(qube.name) : qube.name.startsWith(world.prefix),
    ),

  // A contract names the classes that it creates.
  'birth.class': (before, after, _worldTags, { classes }) =>
    createdQubes(before, after).every((qube) => {
      const made = qube.properties.template_for_dispvms === 'True' ? 'DispVMTemplate' : qube.class;
      return (classes as string[]).includes(made) && ['AppVM', 'DispVM'].includes(qube.class);
    }),

  'birth.egress-inherited': (before, after, worldTags) =>
    createdQubes(before, after).every((child) => {
      const workloads = possibleSources(child, before).filter((source) => source.class !== 'TemplateVM');
      const inherited = workloads.map((source) => source.properties.netvm ?? '');
      const { netvm = '' } = child.properties;
      return ['', worldTags.world.birthGateway ?? '', ...inherited].includes(netvm);
    }),

  'birth.no-escape-hatch': (before, after) =>
    createdQubes(before, after).every(
      ({ properties, features }) =>
        NAMES.escape_hatches.every((property) => (properties[property] ?? '') === '') &&
        properties.autostart !== 'True' &&
        features['preload-dispvm-max'] === undefined,
    ),

  // ---- network

  'egress.never-widens': (before, after) =>
    survivingQubes(before, after).every(([was, is]) => {
      const network = was.properties.netvm ?? '';
      // The home of a qube that no call created is the network it had when a call first disconnected it.
      const home = was.features[FEATURE.birth_network] ?? network;
      return (
        ['', network, home].includes(is.properties.netvm ?? '') &&
        [was.features[FEATURE.birth_network], home].includes(is.features[FEATURE.birth_network])
      );
    }) &&
    createdQubes(before, after).every(
      ({ properties, features }) =>
        features[FEATURE.birth_network] === undefined ||
        features[FEATURE.birth_network] === (properties.netvm ?? ''),
    ),

  'egress.gateways-only': (before, after, worldTags) => {
    const then = new Map(before.qubes.map((qube) => [qube.name, qube]));
    return after.qubes.every((is) => {
      const was = then.get(is.name);
      const { netvm = '' } = is.properties;
      const asBefore =
        was?.properties.netvm === is.properties.netvm && (was?.state === is.state || isDown(is));
      return !worldTags.isRelated(is) || netvm === '' || asBefore || worldTags.world.gateways.includes(netvm);
    });
  },

  'egress.gateways-as-declared': (before, after, worldTags) => {
    const then = new Map(before.qubes.map((qube) => [qube.name, qube]));
    const { gateways, unfiltered = [] } = worldTags.world;
    const useless = gateways.filter((name) => !unfiltered.includes(name) && !appliesRules(name, before));
    return after.qubes.every((is) => {
      const was = then.get(is.name);
      const { netvm = '' } = is.properties;
      if (!worldTags.isRelated(is) || !useless.includes(netvm)) return true;
      const stays = was?.properties.netvm === netvm && isEqual(was.firewall, is.firewall);
      return stays && (is.state !== 'Running' || was.state === 'Running');
    });
  },

  'egress.no-new-gateway': (before, after, { world }) => {
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

  'egress.within-ceiling': (before, after, { world }) => {
    const then = new Map(before.qubes.map(({ name, firewall }) => [name, firewall]));
    return after.qubes
      .filter(({ name, firewall }) => !isEqual(then.get(name), firewall))
      .every(({ firewall }) => {
        const rules = firewall.slice(0, -1).map(ruleOf);
        return (
          firewall.length <= MAX_LINES &&
          firewall.at(-1) === 'action=drop' &&
          rules.every((rule) => rule && isRule(rule) && world.egress.some((one) => covers(one, rule)))
        );
      });
  },

  // ---- budget

  'budget.hard':
    // A snapshot shows no rates and no calls in progress. Usage may stay above a limit that the operator has lowered.
    (before, after, worldTags) => {
      const { budget } = worldTags.world;
      const [was, is] = [worldTags.usage(before), worldTags.usage(after)];
      const lines = Object.keys(was) as (keyof typeof was)[];
      const then = new Map(before.qubes.map(({ name, disk }) => [name, disk]));
      // A running qube keeps the memory and vcpus it started with, so a lower written value would undercount it.
      const running = survivingQubes(before, after).filter(
        ([was, is]) =>
          (worldTags.isMadeByWorld(was) || worldTags.inScope(was)) && !isDown(was) && !isDown(is),
      );
      return (
        lines.every((line) => is[line] <= Math.max(budget[line], was[line])) &&
        running.every(([was, is]) =>
          ['memory', 'maxmem', 'vcpus'].every((name) => was.properties[name] === is.properties[name]),
        ) &&
        after.qubes.every(
          (qube) =>
            !worldTags.isMadeByWorld(qube) ||
            qube.class === 'DispVM' ||
            qube.disk <= Math.max(budget.private_size, then.get(qube.name) ?? 0),
        )
      );
    },

  'budget.numbers-private':
    // About replies. The host shows the prediction: no line grows by more than what the budget service reports as left.
    (before, after, worldTags) => {
      const { budget } = worldTags.world;
      const [was, is] = [worldTags.usage(before), worldTags.usage(after)];
      return (Object.keys(was) as (keyof typeof was)[]).every((line) => {
        const left = Math.max(budget[line] - was[line], 0);
        return is[line] - was[line] <= left;
      });
    },

  // ---- settings and devices

  'props.allowlist': (before, after, worldTags) => {
    const { world } = worldTags;
    // The network has its own steps. `maxmem` follows `memory` if it is not set.
    const properties = new Set([...world.properties, 'netvm']);
    if (properties.has('memory')) properties.add('maxmem');
    const features = new Set([...world.features, FEATURE.birth_network, FEATURE.entombed]);
    return survivingQubes(before, after)
      .filter(([was]) => worldTags.isFinished(was))
      .map(([was, is]) => [settings(was), settings(is)] as const)
      .every(
        ([was, is]) =>
          changedKeys(was.properties, is.properties).every((name) => properties.has(name)) &&
          changedKeys(was.features, is.features).every((name) => features.has(name)),
      );
  },

  'devices.both-ends': (before, after, worldTags) => {
    const full = new Set(
      before.qubes
        .filter((qube) => worldTags.inScope(qube) && worldTags.tier(qube) === 'full')
        .map(({ name }) => name),
    );
    const uses = ({ qubes }: HostSnapshot) =>
      qubes.flatMap(({ name, attached = [] }) =>
        attached.map(({ devclass, backend, port }) => ({ name, devclass, backend, port })),
      );
    // A device is also detached when one of the two qubes halts.
    const up = new Set(after.qubes.filter((qube) => !isDown(qube)).map(({ name }) => name));
    const [then, now] = [uses(before), uses(after)];
    const without = (some: typeof then, others: typeof then) =>
      some.filter((one) => !others.some((other) => isEqual(one, other)));
    const moved = [
      ...without(now, then),
      ...without(then, now).filter(({ name, backend }) => up.has(name) && up.has(backend)),
    ];
    return moved.every(
      ({ name, backend, devclass }) =>
        full.has(name) && full.has(backend) && DEVICE_CLASSES.includes(devclass),
    );
  },

  // ---- end

  'remove.is-a-tombstone': (before, after, worldTags) => {
    const left = new Set(after.qubes.map(({ name }) => name));
    return (
      before.qubes.every(
        (qube) =>
          left.has(qube.name) ||
          qube.class === 'DispVM' ||
          (worldTags.isMadeByWorld(qube) && !worldTags.isFinished(qube)),
      ) &&
      survivingQubes(before, after).every(([was, is]) => {
        if (!is.tags.includes(worldTags.tombstone)) return true;
        return isDown(is) && is.disk === was.disk && is.features[FEATURE.entombed] !== undefined;
      })
    );
  },

  // ---- plans

  'plans.approved':
    // About decisions that the host does not show. The log shows that no step was begun twice.
    (_before, { dom0 }) => {
      const steps = (dom0?.audit ?? [])
        .filter(({ kind, step, says }) => kind === 'intent' && step !== undefined && says === undefined)
        .map(({ plan, step }) => `${plan} ${step}`);
      return new Set(steps).size === steps.length;
    },

  // ---- whatever happens

  'audit.complete': (before, after) => {
    if (before.dom0 === undefined || after.dom0 === undefined) return true;
    const [then, now] = [before.dom0.audit, after.dom0.audit];
    if (!isEqual(now.slice(0, then.length), then)) return false;
    const added = now.slice(then.length);
    const acted = added.some(
      ({ kind, call }, index) =>
        kind === 'intent' &&
        added.slice(index).some((later) => later.kind === 'outcome' && later.call === call),
    );
    return acted || isEqual(before.qubes, after.qubes);
  },

  'crash.no-residue':
    // No half-created qube, no tombstone without its time, and no time without the tombstone.
    (_before, after, worldTags) =>
      after.qubes
        .filter((qube) => worldTags.isRelated(qube))
        .every((qube) => {
          const removed = qube.tags.includes(worldTags.tombstone);
          return worldTags.isFinished(qube) && removed === (qube.features[FEATURE.entombed] !== undefined);
        }),

  'frozen.means-frozen': (before, after, { world }) => !world.frozen || isEqual(before.qubes, after.qubes),

  // ---- the policy

  'policy.closed':
    // Without dom0's files, the host shows only the effect of a call past the policy: a change outside the world.
    (before, after, worldTags) => {
      const untouched = survivingQubes(before, after).every(
        ([was, is]) => worldTags.isRelated(was) || isUnchanged(was, is),
      );
      if (before.dom0 === undefined || after.dom0 === undefined) return untouched;
      const { principals } = worldTags.world;
      const qubes = [...worldTags.own].map((tag) => `@tag:${tag}`);
      const closed = after.dom0.policy.flatMap(allowingLine).every(({ service, source, target, action }) => {
        const named = [target, ...action].join(' ');
        if (principals.includes(source))
          return service.startsWith('qmcp.') || BOOT_SERVICES.includes(service);
        if (!qubes.includes(source)) return true;
        const dom0 = /@adminvm|\bdom0\b/.test(named);
        const out = /@dispvm/.test(named) || principals.includes(target);
        return !out && (!dom0 || BOOT_SERVICES.includes(service));
      });
      return untouched && closed && isEqual(before.dom0.policy, after.dom0.policy);
    },

  'policy.consistent': (_before, { dom0 }) => {
    if (dom0 === undefined) return true;
    const granted = dom0.policy
      .flatMap(allowingLine)
      .map(({ service }) => service)
      .filter((service) => service.startsWith('qmcp.') && service !== SERVICE.catalog);
    // A command of a plan has a line of its own for as long as a person approves it.
    const standing = [...dom0.contracts].filter((service) => service !== SERVICE.approved);
    return isEqual(
      [...new Set(granted)].filter((service) => service !== SERVICE.approved).sort(),
      [...new Set(standing)].sort(),
    );
  },
};

/** The check of an invariant that a plugin declares. Throws for an id that dom0 does not know. */
export function checkOf({ id, with: parameters }: Invariant): Check {
  if (!isInvariantId(id)) throw new Error(`dom0 enforces no invariant ${id}`);
  const holds = (before: HostSnapshot, after: HostSnapshot, world: WorldSnapshot) =>
    PREDICATES[id](before, after, new WorldTags(world), parameters);
  return { id, statement: INVARIANTS[id].statement, holds };
}

/** The checks of all invariants, for a call with any contract. */
export const CHECKS: readonly Check[] = (Object.keys(INVARIANTS) as InvariantId[]).map((id) =>
  checkOf({ id, with: id === 'birth.class' ? { classes: ['AppVM', 'DispVMTemplate', 'DispVM'] } : {} }),
);

/** A command may change files in its qube, but not which qubes exist and how they are connected. */
export const structureUnchanged: Check = {
  id: 'policy.closed',
  statement: INVARIANTS['policy.closed'].statement,
  holds: (before, after) => {
    const structure = ({ qubes }: HostSnapshot) =>
      qubes.map((qube) => [qube.name, qube.class, qube.tags, qube.properties.netvm]);
    return isEqual(structure(before), structure(after));
  },
};

function isUnchanged(was: QubeSnapshot, is: QubeSnapshot): boolean {
  return isEqual(settings(was), settings(is));
}
