import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEBUG_CHANNELS } from '../../../core/config/debug.js';
import { DEFAULTS, PRESETS } from '../../../core/config/defaults.js';
import { VARIABLES } from '../../../core/config/environment.js';
import { FILE_NAMES } from '../../../core/config/file.js';
import { FLAGS } from '../../../core/config/resolve.js';
import { ConfigFile } from '../../../core/config/schema.js';
import { describeExpected } from '../../../core/config/validate.js';
import { toolsOf } from '../ceilings.js';
import { code, codes, HEADING, tableOf } from './markdown.js';

/** docs/reference/config.md. `root` is the repository's. */
export async function configPage(root: string): Promise<string> {
  const presets = await Promise.all(
    PRESETS.map(async (preset) => {
      const { plugins, tools } = await toolsOf(preset);
      const about = readFileSync(join(root, 'config', `${preset}.yaml`), 'utf8')
        .split('\n')[0]!
        .slice(2);
      return [code(preset), about, codes(plugins), codes(tools.map(({ tool }) => tool.name))];
    }),
  );
  return `${HEADING('Configuration', 'core/config and config/')}
Everything here only narrows what dom0 allows; nothing in it can widen that. Nothing in it is ever executed.

## Where it is looked for

In the working directory, and in no folder above it: ${FILE_NAMES.map(code).join(', ')}
(its key \`qmcp\`). Two of them is a fault: keep one. \`--config FILE\` or \`QMCP_CONFIG\` names another file, and then that is the only one.
Files called \`qmcp.config.js\`, \`.ts\` and the like are not read.

For completion and checks in an editor, point \`$schema\` at \`node_modules/qmcp/config/generated/qmcp.schema.json\`:

\`\`\`yaml
# yaml-language-server: $schema=node_modules/qmcp/config/generated/qmcp.schema.json
extends: read-only
tools:
  exclude: [egress_*]
\`\`\`

## Who wins

Flag over environment over file over preset over default, value by value; lists are replaced, not joined. A preset is under the one
that names it: one named in the file is under the file, one named by \`--preset\` is under the other flags and over everything else.
Paths are seen from the folder of the file that says them. \`qmcp config show --origin\` says where each value came from.

## Keys

${tableOf(['key', 'value', 'default', 'variable', 'flag', 'what it does'], keys(ConfigFile as unknown as Schema))}

A variable's list has commas in it. \`QMCP_CONFIG\`, \`QMCP_HOST\` and \`QMCP_WORLD\` stand for \`--config\`, \`--host\` and \`--world\`;
\`QMCP_PYTHON\` names the interpreter that a simulated host uses, which is otherwise the \`python3\` in PATH. A variable that starts with
\`QMCP_\` and is none of these is a fault.

## Debugging

\`QMCP_DEBUG\` names channels, separated by commas; \`*\` names all of them. Each line goes to standard error and starts with its channel, as in
\`qmcp [qrexec]: …\`. No line has the value of a setting, or the arguments, the result or the output of a call. Names in a line are escaped.
An unknown channel is a fault.

${tableOf(
  ['channel', 'what its lines say'],
  Object.entries(DEBUG_CHANNELS).map(([name, about]) => [code(name), about]),
)}

## Filters

A tool is served when \`tools.include\` names it and \`tools.exclude\` does not; exclusion wins. \`*\` stands for any part of a name. A name
without a star that no listed plugin has is a fault: it was meant to keep something out. \`readOnly\` leaves the tools of effect \`read\`.

## Presets

${tableOf(['preset', 'what for', 'plugins', 'tools'], presets)}

A preset in the control qube is a convenience: whoever owns that qube does without it. Its ceiling is in dom0, in two files of
\`config/generated/\`: \`PRESET.qmcp.toml\` is what to write into \`/etc/qmcp/qmcp.toml\`, so that no other plugin's services are granted; \`PRESET.policy\`
goes to \`/etc/qubes/policy.d/29-qmcp-PRESET.policy\` and denies what the preset leaves out of the plugins it has. With both, a direct
call of a service that the preset leaves out is refused, whoever makes it.

## Pinning

\`qmcp pin\` writes \`qmcp.lock.json\` beside the configuration: the names, titles, descriptions, effects and schemas of all tools, resources and
prompts, the server's instructions, and the version of every plugin (of a plugin that is one file, its digest). Commit it. Where it is,
only what is as it says is served: a changed or new tool is left out, a plugin of another version with everything it has, changed
instructions are not given; standard error says which. \`qmcp pin --review\` shows the difference, in words and as a diff in which nothing is
invisible, and writes it down when a person agrees (\`--yes\` in a script). \`pinned: true\` makes the file a condition for starting.
Release by release, that is also how qmcp itself is upgraded: its own plugins have its version.

Pinned or not, a plugin does not load when a text of its has a control or invisible character in it, or is longer than a person reads.

## When it is wrong

\`qmcp\` starts nothing, exits with 2, and says for every fault the file, the line, the key, what was expected, and the nearest name there is:

\`\`\`
qmcp: qmcp.config.yaml:2: tools.exlude: unknown key; did you mean "exclude"?
\`\`\`
`;
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly description?: string;
  readonly [key: string]: unknown;
}

function keys(schema: Schema, path: readonly string[] = []): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const at = [...path, key];
    if (value.properties !== undefined) return keys(value, at);
    const dotted = at.join('.');
    const standard = at.reduce<unknown>(
      (part, step) => (part as Record<string, unknown> | undefined)?.[step],
      DEFAULTS,
    );
    const variable = Object.entries(VARIABLES).find(([, each]) => each.path === dotted)?.[0];
    return [
      [
        code(dotted),
        describeExpected(value).replace(/^expected /, ''),
        standard === undefined ? '' : code(JSON.stringify(standard)),
        variable === undefined ? '' : code(variable),
        FLAGS[dotted] === undefined ? '' : code(FLAGS[dotted]),
        value.description ?? '',
      ],
    ];
  });
}
