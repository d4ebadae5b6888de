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

/** docs/reference/config.md. `root` is the root of the repository. */
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
The configuration can only restrict what dom0 allows; it can never extend it. No part of it is ever executed.

## Where qmcp looks for it

qmcp looks in the working directory, not in folders above it, for: ${FILE_NAMES.map(code).join(', ')}
(its key \`qmcp\`). More than one of these files is an error; keep one. With \`--config FILE\` or \`QMCP_CONFIG\`, qmcp reads only that file.
Files with names such as \`qmcp.config.js\` or \`qmcp.config.ts\` are not read.

For completion and checks in an editor, point \`$schema\` at \`node_modules/qmcp/config/generated/qmcp.schema.json\`:

\`\`\`yaml
# yaml-language-server: $schema=node_modules/qmcp/config/generated/qmcp.schema.json
extends: read-only
tools:
  exclude: [egress_*]
\`\`\`

## Precedence

For each value, a flag overrides the environment, which overrides the file, which overrides a preset, which overrides the default. Lists
are replaced, not joined. A preset ranks directly below the place that names it: a preset named in the file ranks below the file; a
preset named by \`--preset\` ranks below the other flags and above everything else. Relative paths start at the folder of the file that
contains them. \`qmcp config show --origin\` shows where each value was set.

## Keys

${tableOf(['key', 'value', 'default', 'variable', 'flag', 'what it does'], keys(ConfigFile as unknown as Schema))}

In a variable, separate the items of a list with commas. \`QMCP_CONFIG\`, \`QMCP_HOST\` and \`QMCP_WORLD\` set \`--config\`, \`--host\` and
\`--world\`; \`QMCP_PYTHON\` names the Python interpreter for a simulated host (default: the \`python3\` in PATH). Any other variable that
starts with \`QMCP_\` is an error.

## Debugging

\`QMCP_DEBUG\` names channels, separated by commas; \`*\` names all of them. Each line goes to standard error and starts with its channel, as in
\`qmcp [qrexec]: …\`. No line contains the value of a setting, or the arguments, the result or the output of a call. Names in a line are escaped.
An unknown channel is an error.

${tableOf(
  ['channel', 'content'],
  Object.entries(DEBUG_CHANNELS).map(([name, about]) => [code(name), about]),
)}

## Filters

A tool is served when \`tools.include\` names it and \`tools.exclude\` does not; exclusion wins. \`*\` matches any part of a name. A name
without \`*\` that matches no tool of the listed plugins is an error, because a misspelled name would exclude nothing. \`readOnly\` leaves
only the tools with the effect \`read\`.

## Presets

${tableOf(['preset', 'purpose', 'plugins', 'tools'], presets)}

A preset in the control qube is a convenience: whoever controls that qube can ignore it. To enforce a preset, install two files of
\`config/generated/\` in dom0. Copy the content of \`PRESET.qmcp.toml\` into \`/etc/qmcp/qmcp.toml\`, so that no other plugin's services are
granted. Install \`PRESET.policy\` as \`/etc/qubes/policy.d/29-qmcp-PRESET.policy\`; it denies the services of the granted plugins that the
preset does not use. With both files, a direct call to a service outside the preset is refused, whoever makes it.

## Pinning

\`qmcp pin\` writes \`qmcp.lock.json\` beside the configuration. This file records the names, titles, descriptions, effects and schemas of all
tools, resources and prompts, the server's instructions, and the version of every plugin (for a plugin in a single file, its digest).
Commit the file. While it exists, qmcp serves only items that match it: it leaves out a changed or new tool, a plugin of another version
with all its items, and changed instructions, and names them on standard error. \`qmcp pin --review\` shows the difference, in words and as
a diff with invisible characters escaped, and records it when a person approves (\`--yes\` in a script). With \`pinned: true\`, qmcp does not
start without the file. An upgrade of qmcp needs the same review, because the built-in plugins have the version of qmcp.

Pinned or not, a plugin is not loaded when one of its texts contains a control character or an invisible character, or is too long for a
person to review.

## Errors in the configuration

\`qmcp\` does not start and exits with 2. For every error it prints the file, the line, the key, the expected value and the nearest known name:

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
