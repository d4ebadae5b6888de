import { TIER_NAMES } from '../../core/api/generated/names.js';
import {
  type EnforcedBy,
  INVARIANTS,
  isInvariantId,
  type Plugin,
  type Service,
  type Tool,
} from '../../core/api/index.js';
import { contractOf, digestOf } from '../../core/boot/contract.js';
import { nearestName } from '../../core/config/fault.js';
import { configuration, configuredPlugins } from '../../core/main.js';
import { configFromFlags, type ServeFlags } from '../arguments/flags.js';
import { enforcingLines } from '../shipped/enforcing-lines.js';
import { CITED } from '../shipped/generated/citations.js';
import { STEP_DESCRIPTIONS } from '../shipped/steps.js';
import { paint, wrapped } from '../terminal/terminal.js';

/** A plugin may name an invariant that only another release of dom0 enforces. */
const UNKNOWN = { statement: 'this release does not know this invariant', enforcedBy: 'unknown' } as const;

const REFERENCE = { file: 'dom0/contracts' };

/** Prints what a tool does or what an invariant guarantees, with its contracts, the lines of the kernel and the tests. */
export async function explain(
  name: string,
  flags: Omit<ServeFlags, 'world'> & { readonly json?: true },
): Promise<void> {
  const plugins = await configuredPlugins(await configuration(configFromFlags(flags)));
  const explanation = explanationOf(name, plugins);
  if (explanation === undefined) {
    const names = [
      ...plugins.flatMap(({ tools }) => tools.map(({ name }) => name)),
      ...Object.keys(INVARIANTS),
    ];
    const near = nearestName(name, names);
    const hint = near ? `did you mean ${near}?` : 'qmcp explain --list shows every tool and invariant';
    throw new Error(`no tool or invariant is called ${JSON.stringify(name)}; ${hint}`);
  }
  process.stdout.write(flags.json ? `${JSON.stringify(explanation, null, 2)}\n` : `${render(explanation)}\n`);
}

export async function listExplainable(flags: Omit<ServeFlags, 'world'>): Promise<void> {
  const plugins = await configuredPlugins(await configuration(configFromFlags(flags)));
  for (const { name } of plugins.flatMap(({ tools }) => tools)) process.stdout.write(`${name}\n`);
  for (const id of Object.keys(INVARIANTS)) process.stdout.write(`${id}\n`);
}

interface InvariantExplanation {
  readonly invariant: string;
  readonly statement: string;
  readonly enforcedBy: EnforcedBy | 'unknown';
  readonly lines: readonly { readonly at: string; readonly within: string; readonly text: string }[];
  readonly tests: readonly string[];
  readonly tools: readonly string[];
}

interface ToolExplanation {
  readonly tool: string;
  readonly plugin: string;
  readonly title: string;
  readonly description: string;
  readonly effect: string;
  readonly services: readonly {
    readonly service: string;
    readonly calledOn: string;
    readonly tier: string | undefined;
    readonly contract: string;
    readonly digest: string;
    readonly steps: readonly string[];
  }[];
  readonly invariants: readonly InvariantExplanation[];
}

type Explanation = InvariantExplanation | ToolExplanation;

/** Returns undefined when no tool and no invariant has that name. */
export function explanationOf(wanted: string, plugins: readonly Plugin[]): Explanation | undefined {
  for (const plugin of plugins) {
    const tool = plugin.tools.find(({ name }) => name === wanted) as Tool | undefined;
    if (tool !== undefined) return explainTool(plugin, tool, plugins);
  }
  return isInvariantId(wanted) ? explainInvariant(wanted, plugins) : undefined;
}

function explainTool(plugin: Plugin, tool: Tool, plugins: readonly Plugin[]): ToolExplanation {
  const used: Service[] = Object.values(tool.uses);
  const ids = new Set(used.flatMap((service) => service.invariants.map(({ id }) => id)));
  const { name, title, description, effect } = tool;
  return {
    tool: name,
    plugin: plugin.id,
    title,
    description,
    effect,
    services: used.map((service) => explainService(plugin, service)),
    invariants: [...ids].map((id) => explainInvariant(id, plugins)),
  };
}

function explainService(plugin: Plugin, service: Service) {
  const contract = contractOf(plugin, service);
  const calledOn = { target: 'the qube', guest: 'the qube', host: 'dom0', stream: 'dom0' }[service.kind];
  return {
    service: service.name,
    calledOn,
    tier: 'capability' in service ? TIER_NAMES[service.capability] : undefined,
    contract: `${REFERENCE.file}/${service.name}.json`,
    digest: digestOf(contract),
    steps:
      service.kind === 'guest'
        ? ['runs inside the qube; only the qrexec policy controls it, and dom0 does not see it']
        : contract.steps.map(
            (step) =>
              `${step.do}: ${STEP_DESCRIPTIONS[step.do]?.words ?? 'this release does not know this step'}`,
          ),
  };
}

function explainInvariant(id: string, plugins: readonly Plugin[]): InvariantExplanation {
  const { statement, enforcedBy } = isInvariantId(id) ? INVARIANTS[id] : UNKNOWN;
  const tools = plugins.flatMap((plugin) =>
    plugin.tools
      .filter(({ uses }) =>
        (Object.values(uses) as Service[]).some((service) =>
          service.invariants.some((each) => each.id === id),
        ),
      )
      .map(({ name }) => name as string),
  );
  const lines = (enforcingLines().get(id) ?? []).map(({ file, line, within, text }) => ({
    at: `${file}:${line}`,
    within,
    text,
  }));
  const tests = (CITED[id] ?? []).map(({ file, test }) => `${file}: ${test}`);
  return { invariant: id, statement, enforcedBy, lines, tests, tools };
}

function render(explanation: Explanation): string {
  return 'tool' in explanation ? toolText(explanation) : invariantText(explanation).join('\n');
}

function toolText({
  tool,
  plugin,
  title,
  description,
  effect,
  services,
  invariants,
}: ToolExplanation): string {
  const lines = [
    `${paint(tool, 'bold')}  ${title} (plugin ${plugin}, effect ${effect})`,
    wrapped(description, '  '),
    '',
    paint('Services it calls', 'bold'),
  ];
  for (const { service, calledOn, tier, contract, digest, steps } of services) {
    lines.push(
      `  ${paint(service, 'cyan')}, called on ${calledOn}${tier ? ` at tier ${tier} or above` : ''}`,
    );
    lines.push(`    contract ${contract}`, `    ${digest.slice(0, 23)}…`);
    for (const step of steps) lines.push(wrapped(`- ${step}`, '    '));
  }
  lines.push('', paint('What holds whatever it is configFromFlags', 'bold'));
  for (const each of invariants) lines.push(...invariantText(each, '  ', false), '');
  if (invariants.length === 0)
    lines.push('  It declares no invariants of its own; the axioms apply to it as to every tool.');
  return lines.join('\n').trimEnd();
}

function invariantText(
  { invariant, statement, enforcedBy, lines, tests, tools }: InvariantExplanation,
  indent = '',
  withTools = true,
): string[] {
  const enforcer = { dom0: 'dom0’s kernel', policy: 'the qrexec policy', unknown: 'nothing in this release' }[
    enforcedBy
  ];
  const inner = `${indent}  `;
  return [
    `${indent}${paint(invariant, 'cyan')}  enforced by ${enforcer}`,
    wrapped(statement, inner),
    ...lines.map(({ at, within }) => `${inner}${paint(at, 'green')} in ${within}`),
    ...(lines.length > 0
      ? []
      : [
          wrapped(
            'no single line enforces it: either no contract can express a violation, or several checks together enforce it',
            inner,
          ),
        ]),
    ...tests.map((test) => wrapped(test, `${inner}  `).replace(`${inner}  `, `${inner}✓ `)),
    ...(withTools ? [wrapped(`declared by: ${tools.join(' ') || 'none of the tools loaded'}`, inner)] : []),
  ];
}
