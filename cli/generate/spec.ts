/** Generates TypeScript from dom0/spec, and Python for the services in qubes. dom0's own reader reads the spec, so that there is only one. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { python } from '../../sim/python.js';
import { formatted, ROOT } from './files.js';

interface Tier {
  readonly name: string;
  readonly gains: string;
}

interface Limit {
  readonly is: number;
  readonly words: string;
}

/** The spec as dom0's reader returns it. */
export interface Spec {
  readonly names: Readonly<Record<string, unknown>> & { readonly tier: Readonly<Record<string, Tier>> };
  readonly steps: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly types: Readonly<Record<string, unknown>>;
  readonly invariants: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly refusals: Readonly<Record<string, { readonly by_server?: boolean }>>;
  readonly features: Readonly<Record<'acts_inside' | 'acts_outside', Readonly<Record<string, string>>>>;
  readonly membership: readonly Readonly<Record<string, unknown>>[];
  /** By group. */
  readonly limits: Readonly<Record<string, Readonly<Record<string, Limit>>>>;
}

const DUMP = `import json, spec
print(json.dumps({
    "names": vars(spec.NAMES), "steps": spec.STEPS, "types": spec.TYPES, "invariants": spec.INVARIANTS,
    "refusals": spec.table("refusals"), "membership": spec.MEMBERSHIP, "features": spec.FEATURES, "limits": spec.table("limits"),
}))`;

export function readSpec(): Spec {
  const { status, stdout, stderr, error } = spawnSync(python(), ['-B', '-c', DUMP], {
    cwd: join(ROOT, 'dom0'),
    encoding: 'utf8',
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`dom0/spec cannot be read:\n${stderr.trim()}`);
  return JSON.parse(stdout) as Spec;
}

/** The files that are generated from the spec alone, by path. */
export function specFiles(spec: Spec): Map<string, string> {
  const { tag, tier, feature, service, ...names } = spec.names;
  const tiers = Object.entries(tier);
  const limits = Object.values(spec.limits).flatMap((group) => Object.entries(group));
  const api = (name: string, from: string, constants: Readonly<Record<string, unknown>>) =>
    typescript(`core/api/generated/${name}.ts`, from, constants);
  return new Map([
    api('steps', 'steps.toml', { STEPS: spec.steps }),
    api('types', 'types.toml', { TYPES: spec.types }),
    api('invariants', 'invariants.toml', { INVARIANTS: statements(spec) }),
    api('refusals', 'refusals.toml', {
      REFUSALS: refusalsBy(spec, false),
      SERVER_REFUSALS: refusalsBy(spec, true),
    }),
    api('names', 'names.toml', {
      TIERS: tiers.map(([id]) => id),
      TIER_NAMES: Object.fromEntries(tiers.map(([id, { name }]) => [id, name])),
      GAINS: Object.fromEntries(tiers.map(([id, { gains }]) => [id, gains])),
      TAGS: tag,
      FEATURE: feature,
      SERVICE: service,
      POWER_STATES: [...new Set(Object.values(names.power_state as object)), names.unknown_state],
      NAMES: names,
    }),
    api('membership', 'membership.toml', { MEMBERSHIP: spec.membership }),
    api('limits', 'limits.toml', { LIMITS: Object.fromEntries(limits.map(([name, { is }]) => [name, is])) }),
    guestLimits(spec),
  ]);
}

/** The refusals of the server in the control qube, or those of dom0. */
const refusalsBy = ({ refusals }: Spec, server: boolean): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(refusals)
      .filter(([, { by_server = false }]) => by_server === server)
      .map(([code, { by_server: _, ...refusal }]) => [code, refusal]),
  );

function statements({ invariants }: Spec): Record<string, unknown> {
  const rows = Object.entries(invariants).map(([id, { enforced_by, statement }]) => [
    id,
    { enforcedBy: enforced_by, statement },
  ]);
  return Object.fromEntries(rows);
}

function typescript(
  file: string,
  from: string,
  constants: Readonly<Record<string, unknown>>,
): [string, string] {
  const lines = Object.entries(constants).map(
    ([name, value]) => `export const ${name} = Object.freeze(${JSON.stringify(value, null, 2)} as const);\n`,
  );
  const path = join(ROOT, file);
  return [
    path,
    formatted(`// Generated from dom0/spec/${from} by \`npm run generate\`.\n${lines.join('\n')}`, path),
  ];
}

/** The limits for services in qubes, as a copy, because a template cannot read dom0/spec. */
function guestLimits({ limits }: Spec): [string, string] {
  const { request_bytes } = limits.calls!;
  const lines = Object.entries({ request_bytes: request_bytes!, ...limits.guest }).map(
    ([name, { is, words }]) => `# ${words}\n${name.toUpperCase()} = ${is}\n`,
  );
  return [
    join(ROOT, 'guest/qmcp_guest/generated/limits.py'),
    `# Generated from dom0/spec/limits.toml by \`npm run generate\`.\n\n${lines.join('')}`,
  ];
}
