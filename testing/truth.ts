/** The actual settings of a world, for checks of invariants; an agent does not see them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { TIER_NAMES, TIERS } from '../core/api/generated/names.js';
import type { Rule } from '../core/api/index.js';
import type { WorldSnapshot } from '../model/snapshot.js';

interface WorldSettings {
  readonly prefix: string;
  readonly birth_ceiling?: string;
  readonly gateway?: Record<string, { readonly filters?: boolean; readonly anonymising?: boolean }>;
  readonly birth_gateway?: string;
  readonly guarded?: string[];
  readonly egress?: Rule[];
  readonly properties?: string[];
  readonly features?: string[];
  readonly budget?: Partial<WorldSnapshot['budget']>;
  readonly principal: Record<string, unknown>;
}

/** A world as configured in qmcp.toml. A setting that is not there gives the least authority. */
export function worldOf(root: string, name: string): WorldSnapshot {
  const { world } = parse(readFileSync(join(root, 'etc/qmcp/qmcp.toml'), 'utf8'));
  const settings = (world as unknown as Record<string, WorldSettings>)[name];
  if (settings === undefined) throw new Error(`qmcp.toml has no world ${name}`);
  const nothing = { qubes: 0, disk: 0, private_size: 0, running: 0, memory: 0, vcpus: 0 };
  return {
    name,
    prefix: settings.prefix,
    others: Object.keys(world as object).filter((other) => other !== name),
    principals: Object.keys(settings.principal),
    gateways: Object.keys(settings.gateway ?? {}),
    unfiltered: Object.entries(settings.gateway ?? {}).flatMap(([name, { filters = true }]) =>
      filters ? [] : [name],
    ),
    birthGateway: settings.birth_gateway ?? null,
    birthCeiling: TIERS.find((tier) => TIER_NAMES[tier] === settings.birth_ceiling) ?? TIERS[0],
    guarded: settings.guarded ?? [],
    egress: settings.egress ?? [],
    properties: settings.properties ?? [],
    features: settings.features ?? [],
    budget: { ...nothing, ...settings.budget },
    frozen: [name, 'all'].some((each) => existsSync(join(root, 'var/lib/qmcp/frozen', each))),
  };
}
