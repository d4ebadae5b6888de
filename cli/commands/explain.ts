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
import { asked, type ServeFlags } from '../arguments/flags.js';
import { marks } from '../shipped/enforcing-lines.js';
import { CITED } from '../shipped/generated/citations.js';
import { VERBS } from '../shipped/steps.js';
import { paint, wrapped } from '../terminal/terminal.js';

/** A plugin may name an invariant that only another release of dom0 enforces. */
const UNKNOWN = { statement: 'this release does not know it', enforcedBy: 'unknown' } as const;

const REFERENCE = { file: 'dom0/contracts' };

/** What a tool does, or an invariant says: which contract, which lines of the kernel, which tests. */
export async function explain(
  what: string,
  flags: Omit<ServeFlags, 'world'> & { readonly json?: true },
): Promise<void> {
  const plugins = await configuredPlugins(await configuration(asked(flags)));
  const said = explained(what, plugins);
  if (said === undefined) {
    const known = [
      ...plugins.flatMap(({ tools }) => tools.map(({ name }) => name)),
      ...Object.keys(INVARIANTS),
    ];
    const near = nearestName(what, known);
    const hint = near ? `did you mean ${near}?` : 'qmcp tools and qmcp explain --list say what there is';
    throw new Error(`there is no tool and no invariant ${JSON.stringify(what)}; ${hint}`);
  }
  process.stdout.write(flags.json ? `${JSON.stringify(said, null, 2)}\n` : `${rendered(said)}\n`);
}

export async function explainable(flags: Omit<ServeFlags, 'world'>): Promise<void> {
  const plugins = await configuredPlugins(await configuration(asked(flags)));
  for (const { name } of plugins.flatMap(({ tools }) => tools)) process.stdout.write(`${name}\n`);
  for (const id of Object.keys(INVARIANTS)) process.stdout.write(`${id}\n`);
}

interface InvariantSaid {
  readonly invariant: string;
  readonly statement: string;
  readonly enforcedBy: EnforcedBy | 'unknown';
  readonly lines: readonly { readonly at: string; readonly within: string; readonly text: string }[];
  readonly tests: readonly string[];
  readonly tools: readonly string[];
}

interface ToolSaid {
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
  readonly invariants: readonly InvariantSaid[];
}

type Said = InvariantSaid | ToolSaid;

/** Undefined when there is neither a tool nor an invariant of that name. */
export function explained(what: string, plugins: readonly Plugin[]): Said | undefined {
  for (const plugin of plugins) {
    const tool = plugin.tools.find(({ name }) => name === what) as Tool | undefined;
    if (tool !== undefined) return toolSaid(plugin, tool, plugins);
  }
  return isInvariantId(what) ? invariantSaid(what, plugins) : undefined;
}

function toolSaid(plugin: Plugin, tool: Tool, plugins: readonly Plugin[]): ToolSaid {
  const used: Service[] = Object.values(tool.uses);
  const ids = new Set(used.flatMap((service) => service.invariants.map(({ id }) => id)));
  const { name, title, description, effect } = tool;
  return {
    tool: name,
    plugin: plugin.id,
    title,
    description,
    effect,
    services: used.map((service) => serviceSaid(plugin, service)),
    invariants: [...ids].map((id) => invariantSaid(id, plugins)),
  };
}

function serviceSaid(plugin: Plugin, service: Service) {
  const contract = contractOf(plugin, service);
  const on = { target: 'the qube', guest: 'the qube', host: 'dom0', stream: 'dom0' }[service.kind];
  return {
    service: service.name,
    calledOn: on,
    tier: 'capability' in service ? TIER_NAMES[service.capability] : undefined,
    contract: `${REFERENCE.file}/${service.name}.json`,
    digest: digestOf(contract),
    steps:
      service.kind === 'guest'
        ? ['runs inside the qube; the qrexec policy alone decides, and dom0 sees nothing of it']
        : contract.steps.map(
            (step) => `${step.do}: ${VERBS[step.do]?.words ?? 'a verb this release does not know'}`,
          ),
  };
}

function invariantSaid(id: string, plugins: readonly Plugin[]): InvariantSaid {
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
  const lines = (marks().get(id) ?? []).map(({ file, line, within, text }) => ({
    at: `${file}:${line}`,
    within,
    text,
  }));
  const tests = (CITED[id] ?? []).map(({ file, test }) => `${file}: ${test}`);
  return { invariant: id, statement, enforcedBy, lines, tests, tools };
}

function rendered(said: Said): string {
  return 'tool' in said ? toolText(said) : invariantText(said).join('\n');
}

function toolText({ tool, plugin, title, description, effect, services, invariants }: ToolSaid): string {
  const lines = [
    `${paint(tool, 'bold')}  ${title} (plugin ${plugin}, effect ${effect})`,
    wrapped(description, '  '),
    '',
    paint('What it asks for', 'bold'),
  ];
  for (const { service, calledOn, tier, contract, digest, steps } of services) {
    lines.push(
      `  ${paint(service, 'cyan')}, called on ${calledOn}${tier ? ` at tier ${tier} or above` : ''}`,
    );
    lines.push(`    contract ${contract}`, `    ${digest.slice(0, 23)}…`);
    for (const step of steps) lines.push(wrapped(`- ${step}`, '    '));
  }
  lines.push('', paint('What holds whatever it is asked', 'bold'));
  for (const each of invariants) lines.push(...invariantText(each, '  ', false), '');
  if (invariants.length === 0)
    lines.push('  It declares no invariant of its own; the axioms hold for it as for all.');
  return lines.join('\n').trimEnd();
}

function invariantText(
  { invariant, statement, enforcedBy, lines, tests, tools }: InvariantSaid,
  indent = '',
  alone = true,
): string[] {
  const who = { dom0: 'dom0’s kernel', policy: 'the qrexec policy', unknown: 'nothing here' }[enforcedBy];
  const inner = `${indent}  `;
  return [
    `${indent}${paint(invariant, 'cyan')}  enforced by ${who}`,
    wrapped(statement, inner),
    ...lines.map(({ at, within }) => `${inner}${paint(at, 'green')} in ${within}`),
    ...(lines.length > 0
      ? []
      : [
          wrapped('no single line: contracts have no words to break it, or several checks make it up', inner),
        ]),
    ...tests.map((test) => wrapped(test, `${inner}  `).replace(`${inner}  `, `${inner}✓ `)),
    ...(alone ? [wrapped(`declared by: ${tools.join(' ') || 'none of the tools loaded'}`, inner)] : []),
  ];
}
