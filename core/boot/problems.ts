/**
 * Every reason not to load a plugin, each with a stable code. A message says what is wrong, where, what each side has, and
 * what to run or edit next. It is for the person who runs the server, never for an agent.
 */

const quoted = (value: unknown) => JSON.stringify(value);
/** Enough of a digest to compare two of them by eye. */
const short = (digest: string) => digest.replace(/^(sha256:.{12}).*$/s, '$1…');

/** A built-in plugin's contracts are in dom0/contracts of this package; another plugin brings its own. */
const review = (service: string) =>
  `Bring the plugin's ${service}.json to dom0, then there: qmcp-admin contract review ${service}.json, qmcp-admin contract install ${service}.json, qmcp-admin policy install; qmcp-admin check says what is left to do.`;

export const PROBLEMS = {
  // ---- the plugin itself
  'plugin-not-found': (f: { name: string; known: readonly string[]; why: string }) =>
    `the configuration names the plugin ${quoted(f.name)}: ${f.why}. The built-in ones are ${f.known.join(', ')}; any other is a package name or a path that starts with "./" or "/".`,
  'plugin-changes-builtins': (f: { changed: readonly string[] }) =>
    `importing it changed ${f.changed.slice(0, 5).join(', ')}, which every other plugin and qmcp itself use. The change was undone, and the plugin is not loaded. Find the module that makes the change (perhaps a polyfill), and do not import it.`,
  'plugin-malformed': (f: { where: string; expected: string }) =>
    `${f.where}: expected ${f.expected}. A plugin module's default export is what definePlugin returns.`,
  'plugin-api-version': (f: { declares: unknown; here: number }) =>
    `it is written for API version ${quoted(f.declares)}, and this is version ${f.here}. Install a release of the plugin for version ${f.here}.`,
  'plugin-duplicate': (f: { first: string; second: string }) =>
    `two plugins have this id: ${quoted(f.first)} and ${quoted(f.second)}. List only one of them.`,
  'plugin-unreadable': (f: { why: string }) =>
    `its declarations cannot be read: ${f.why}. A plugin must be plain data, as definePlugin and the other define functions return it.`,
  'plugin-options': (f: { plugin: string; faults: readonly string[] }) =>
    `its options are not valid: ${f.faults.slice(0, 5).join('; ')}. Put them under "options": {${quoted(f.plugin)}: …} in the configuration.`,
  'plugin-needs-missing': (f: { needs: string }) =>
    `it needs the plugin ${quoted(f.needs)}, which is not loaded. Add ${quoted(f.needs)} to "plugins".`,
  'plugin-cycle': (f: { path: readonly string[] }) =>
    `plugins need each other in a circle: ${f.path.join(' → ')}. Remove one of these needs.`,
  'plugin-start-failed': (f: { what: string; why: string }) =>
    `the handler of ${f.what} cannot be created: ${f.why}. A handler can inject only portOf(service) of its own plugin's services. Its decorators must come from the copy of qmcp that runs it; npm ls qmcp shows whether there are two.`,
  'service-namespace': (f: { service: string; plugin: string }) =>
    `its service ${quoted(f.service)} is outside its namespace. Call it qmcp.${f.plugin}.<Verb>.`,
  'service-duplicate': (f: { service: string }) =>
    `it declares the service ${f.service} twice. Declare it once.`,
  'tool-name': (f: { tool: string }) =>
    `its tool ${quoted(f.tool)} has a name that clients may reject. Use lower-case letters, digits and _, as in area_verb.`,
  'tool-duplicate': (f: { tool: string; other: string }) =>
    `its tool ${f.tool} has the name of a tool of the plugin ${quoted(f.other)}. Rename one, or list one of the two plugins.`,
  'tool-text': (f: { tool: string; which: string }) =>
    `the ${f.which} of its tool ${f.tool} is missing or empty. A model chooses tools by it: write what the tool does.`,
  'tool-schema': (f: { tool: string; which: string }) =>
    `the ${f.which} schema of its tool ${f.tool} is not an object schema. MCP needs Type.Object at the root, and nothing in it that is not JSON.`,
  'text-unseen': (f: { where: string; fault: string }) =>
    `${f.where} ${f.fault}. A person must be able to review every text that a model reads.`,
  'tool-behaviour': (f: { tool: string }) => `its tool ${f.tool} needs exactly one of run and handler.`,
  'tool-uses-undeclared': (f: { tool: string; service: string }) =>
    `its tool ${f.tool} uses ${f.service}, which is not among the plugin's services. Add it there: the list is the plugin's whole authority.`,
  'tool-upholds-nothing': (f: { tool: string; effect: string }) =>
    `its tool ${f.tool} has effect ${quoted(f.effect)} and upholds no invariant. Name at least one in "upholds".`,
  'tool-upholds-undeclared': (f: { tool: string; invariant: string }) =>
    `its tool ${f.tool} says it upholds ${f.invariant}, and no service it uses declares that invariant. Declare it on a service, where dom0 enforces it.`,

  'resource-uri': (f: { uri: unknown }) =>
    `its resource ${quoted(f.uri)} has an address that clients cannot use. Write it as scheme://path, with variables as {name}.`,
  'surface-duplicate': (f: { what: string; other: string }) =>
    `its ${f.what} is also one of the plugin ${quoted(f.other)}. Rename one, or list one of the two plugins.`,
  'surface-uses-undeclared': (f: { what: string; service: string }) =>
    `its ${f.what} uses ${f.service}, which is not among the plugin's services. Add it there: the list is the plugin's whole authority.`,
  'surface-changes': (f: { what: string; service: string; effect: string }) =>
    `its ${f.what} uses ${f.service}, whose effect is ${quoted(f.effect)}. Only a tool may use a service that changes something.`,

  // ---- the plugin against dom0's catalog
  'catalog-unavailable': (f: { why: string }) =>
    `dom0 did not say what it enforces: qmcp.Catalog on @adminvm ${f.why}. In dom0, check that qmcpd runs and that 30-qmcp.policy allows this qube; run qmcp doctor to find the cause.`,
  'service-missing': (f: { service: string; digest: string }) =>
    `dom0 has no contract for ${f.service} (the plugin's is ${short(f.digest)}). ${review(f.service)}`,
  'service-unusable': (f: { service: string; why: string }) =>
    `dom0 has a contract for ${f.service} but does not accept it: ${f.why}. ${review(f.service)}`,
  'service-not-granted': (f: { service: string; world: string; plugin: string }) =>
    `dom0 has a contract for ${f.service} but does not grant it to this qube. In dom0, add ${quoted(f.plugin)} to "plugins" of this qube under [world.${f.world}] in /etc/qmcp/qmcp.toml, then: qmcp-admin policy install.`,
  'invariant-unknown': (f: { service: string; invariant: string }) =>
    `${f.service} declares the invariant ${f.invariant}, which this dom0 does not know. Install a release of qmcp in dom0 that enforces it; a contract cannot add it.`,
  'invariant-missing': (f: { service: string; invariant: string; installed: readonly string[] }) =>
    `${f.service} declares the invariant ${f.invariant}; the contract in dom0 has ${f.installed.join(', ') || 'none'}. ${review(f.service)}`,
  'invariant-parameters': (f: { service: string; invariant: string; plugin: string; dom0: string }) =>
    `${f.service} declares ${f.invariant} with ${f.plugin}; dom0 enforces it with ${f.dom0}. ${review(f.service)}`,
  'invariant-place': (f: { service: string; invariant: string; here: string; dom0: string }) =>
    `${f.service} declares ${f.invariant}. This release of qmcp knows it as enforced by ${f.here}; dom0 says it is enforced by ${f.dom0}. Install matching releases of qmcp here and in dom0.`,
  'digest-mismatch': (f: { service: string; plugin: string; dom0: string }) =>
    `the contract of ${f.service} is ${short(f.plugin)} in the plugin and ${short(f.dom0)} in dom0, with the same invariants. ${review(f.service)}`,
  'plugin-needs-refused': (f: { needs: string }) =>
    `it needs the plugin ${quoted(f.needs)}, which was refused. Solve that problem first.`,
} as const;

export type ProblemCode = keyof typeof PROBLEMS;
type Facts<C extends ProblemCode> = Parameters<(typeof PROBLEMS)[C]>[0];

export interface Problem {
  readonly code: ProblemCode;
  /** The id of the plugin that is not loaded because of it. */
  readonly plugin: string;
  /** One or more sentences that do not name the plugin. */
  readonly message: string;
}

export function problem<C extends ProblemCode>(code: C, plugin: string, facts: Facts<C>): Problem {
  const build = PROBLEMS[code] as (facts: Facts<C>) => string;
  return { code, plugin, message: printable(build(facts)) };
}

/** Escapes everything but visible characters, so that text cannot move a terminal's cursor, hide, or change direction. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '\n' ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

/** Every problem of every plugin, one line each. A problem that several plugins share gets one line. */
export function report(problems: readonly Problem[]): string {
  const lines = new Map<string, { problem: Problem; plugins: string[] }>();
  for (const each of problems) {
    const key = `${each.code} ${each.message}`;
    const line = lines.get(key) ?? { problem: each, plugins: [] };
    line.plugins.push(quoted(each.plugin));
    lines.set(key, line);
  }
  return [...lines.values()]
    .map(({ problem: { code, message }, plugins }) => {
      const who = plugins.length > 1 ? 'plugins' : 'plugin';
      return `${code}: ${who} ${plugins.join(', ')}: ${message}`;
    })
    .join('\n');
}

/** The server cannot start. Carries every reason at once. */
export class BootError extends Error {
  override readonly name = 'BootError';
  constructor(readonly problems: readonly Problem[]) {
    super(report(problems));
  }
}
