/** The `qmcp` command: its arguments, and which file runs each of them. Completion and the reference are generated from this. */
import { DEBUG_CHANNELS } from '../core/config/debug.js';
import { Argument, Command, Option } from '../core/vendor/commander.js';
import { VERSION } from '../core/version.js';
import { config, http, onRefusal, withConfigOptions, world } from './arguments/options.js';

const EXAMPLES = `
Examples:
  qmcp demo                                 watch an example session on a simulated host
  qmcp doctor                               check whether this qube can reach dom0
  qmcp serve --preset audit                 serve only tools that change nothing
  qmcp call qube_list                       call a tool yourself
  qmcp call exec_run qube=ai-one 'command=ls -l /home'
  qmcp explain qube_remove                  show what limits a tool, down to the line in dom0

Exit codes:
  0  done
  1  refused, or a check failed
  2  the command line or the configuration is wrong

QMCP_HOST, QMCP_WORLD and QMCP_CONFIG set --host, --world and --config; a flag wins.
QMCP_PYTHON names the Python interpreter for a simulated host; the default is the python3
in PATH. Output is coloured only on a terminal, and never when NO_COLOR is set.
QMCP_DEBUG=${Object.keys(DEBUG_CHANNELS).join(',')} (or *) logs what qmcp does to standard error,
one line per event, without the contents of calls.`;

/** Builds a new command, with nothing parsed yet. */
export function program(): Command {
  const qmcp = new Command('qmcp')
    .description(
      'MCP for Qubes OS: agents get real power over a bounded world of qubes, and dom0 enforces every limit.',
    )
    .version(VERSION)
    .showHelpAfterError('(run qmcp --help for more)')
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: false })
    // Throw instead of ending the process. Set before the commands are added, because they inherit it.
    .exitOverride()
    .addHelpText('after', EXAMPLES);
  addServing(qmcp);
  addInspecting(qmcp);
  addInstalling(qmcp);
  addWriting(qmcp);
  return qmcp;
}

function addServing(qmcp: Command): void {
  qmcp.commandsGroup('Serve:');
  withConfigOptions(qmcp.command('serve'))
    .description('serve MCP on standard input and output')
    .addOption(onRefusal())
    .addOption(http())
    .option(
      '--token-file <file>',
      'the token that HTTP clients must send; required unless only this machine can connect',
    )
    .addHelpText('after', '\nqmcp connect CLIENT writes the configuration of an MCP client.')
    .action(async (options) => (await import('./commands/serve.js')).serve(options));

  qmcp
    .command('connect')
    .description('write the configuration of an MCP client, so that it starts this copy of qmcp')
    .addArgument(
      new Argument('<client>', 'the client').choices(['claude-code', 'claude-desktop', 'cursor', 'vscode']),
    )
    .argument('[words...]', 'flags of qmcp serve, after --')
    .option('--name <name>', 'the name of the server in the client', 'qmcp')
    .option('--force', 'replace another server of that name')
    .option('--print', 'print the configuration, and write nothing')
    .action(async (client, words, options) =>
      (await import('./commands/connect.js')).connect(client, words, options),
    );

  qmcp
    .command('demo')
    .description('watch an agent’s session on a simulated host, as the agent and as the operator see it')
    .action(async () => (await import('./demo/demo.js')).demo());
  qmcp
    .command('window')
    .description('open the operator’s window on a new simulated host; it needs PyGObject and GTK 3')
    .addOption(world())
    .option('--dir <folder>', 'the folder for its files (default: a new folder, removed at the end)')
    .action(async (options) => (await import('./commands/window.js')).window(options));
  addSimulating(qmcp);
}

function addSimulating(qmcp: Command): void {
  const sim = qmcp
    .enablePositionalOptions()
    .command('sim')
    .enablePositionalOptions()
    .description('run a simulated host until interrupted, and print how to call it')
    .addOption(world())
    .option('--dir <folder>', 'the folder for its files (default: a new folder, removed at the end)')
    .addOption(
      new Option(
        '--api <release>',
        'the Qubes release whose Admin API it implements (default: set by the world file)',
      ).choices(['4.2', '4.3', '4.4']),
    )
    .addOption(
      new Option(
        '--guests <engine>',
        'how commands run inside qubes: a shell in memory, or bubblewrap sandboxes',
      ).choices(['memory', 'bwrap']),
    )
    .option('--seed <number>', 'the seed of its random numbers')
    .option('--source <qube>', 'the qube for which it writes a qrexec-client-vm (default: mcp-control)')
    .action(async (options) => (await import('./commands/sim.js')).simulate(options));

  sim
    .command('ctl')
    .description('act on a running simulated host as its operator; without words, list the possible actions')
    .requiredOption('--dir <folder>', 'the folder of that host')
    .argument('[words...]')
    // A word may start with a hyphen, as in: tag work -ai-managed
    .passThroughOptions()
    .action(async (words, options) => (await import('./commands/sim-ctl.js')).ctl(words, options));
}

function addInspecting(qmcp: Command): void {
  qmcp.commandsGroup('Inspect and call:');
  withConfigOptions(qmcp.command('doctor'))
    .description('check the connection from here to dom0, and say how to fix what is wrong')
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./doctor/doctor.js')).doctor(options));

  withConfigOptions(qmcp.command('plugins'))
    .description('list the loaded and the refused plugins, with reasons; exits 1 when any is refused')
    .action(async (options) => (await import('./commands/plugins.js')).plugins(options));

  withConfigOptions(qmcp.command('tools'))
    .description('list the tools that an agent is offered')
    .option('--all', 'also list the tools that are not served, and why')
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./commands/tools.js')).tools(options));

  withConfigOptions(qmcp.command('call'))
    .description('call a tool, as an agent would')
    .argument('<tool>', 'the name of the tool')
    .argument('[key=value...]', 'its input: plain text, or JSON for any other type; a.b=… sets key b of a')
    .option('--input <json>', 'the whole input as JSON; - reads it from standard input')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
Examples:
  qmcp call qube_spawn name=ai-one template=ai-debian start=true
  qmcp call qube_set qube=ai-one properties.label=blue properties.memory=800
  qmcp call exec_run qube=ai-one 'command=["ls","-l"]' --json

Exits with 1 when the call is refused, 2 when it is malformed.`,
    )
    .action(async (tool, words, options) => (await import('./commands/call.js')).call(tool, words, options));

  qmcp
    .command('explain')
    .description('explain a tool or an invariant: contracts, the lines of dom0 that enforce it, tests')
    .argument('[tool|invariant]')
    .addOption(config())
    .option('--list', 'list everything that can be explained')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExamples:\n  qmcp explain exec_run\n  qmcp explain egress.within-ceiling')
    .action(async (name, options, command: Command) => {
      if (name === undefined && !options.list)
        command.error('error: missing argument: name a tool or an invariant; qmcp explain --list shows them');
      const { explain, listExplainable } = await import('./commands/explain.js');
      await (options.list ? listExplainable(options) : explain(name, options));
    });

  const settings = qmcp.command('config').description('show the configuration in effect here');
  withConfigOptions(settings.command('show', { isDefault: true }))
    .description('print every value; with --origin, also where it was set')
    .addOption(onRefusal())
    .option('--origin', 'show where each value was set: flag, environment, file and line, preset or default')
    .option('--json', 'print JSON')
    .action(async (options) => (await import('./commands/config.js')).show(options));
}

function addInstalling(qmcp: Command): void {
  qmcp.commandsGroup('Review and install:');
  withConfigOptions(qmcp.command('pin'))
    .description(
      'record the texts and schemas that a model sees, so that changes are not served until reviewed',
    )
    .option('--review', 'show what has changed since, and record it if you approve')
    .option('--yes', 'approve what --review shows, without asking')
    .action(async (options) => (await import('./commands/pin.js')).pin(options));

  qmcp
    .command('bundle')
    .description(
      'write the archive that dom0 installs: its code, and the contracts of the configured plugins',
    )
    .addOption(config())
    .option('-o, --output <file>', 'the file to write (default: standard output, unless it is a terminal)')
    .action(async (options) => (await import('./commands/bundle.js')).bundle(options));

  qmcp
    .command('contracts')
    .description('print the contracts of a plugin, which the operator reviews and installs in dom0')
    .argument('<plugin>', 'the name of a built-in plugin, a package, or a path such as ./hello')
    .option('-o, --out <folder>', 'write SERVICE.json files into this folder (default: print them)')
    .action(async (plugin, options) => (await import('./commands/contracts.js')).contracts(plugin, options));
}

function addWriting(qmcp: Command): void {
  qmcp.commandsGroup('Write your own:');
  qmcp
    .command('new')
    .description('create something of your own')
    .command('plugin')
    .description('create a package for a plugin, with a tool, a contract and passing tests')
    .argument('<name>', 'lower-case letters and digits; its services are called qmcp.NAME.*')
    .option('--dir <folder>', 'the folder to create (default: the name of the plugin)')
    .action(async (name, options) => (await import('./commands/new.js')).newPlugin(name, options));

  qmcp.commandsGroup('Shell:');
  qmcp
    .command('completion')
    .description('print a script that completes qmcp’s commands and options in your shell')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
Examples:
  qmcp completion bash > ~/.local/share/bash-completion/completions/qmcp
  qmcp completion zsh > "\${fpath[1]}/_qmcp"
  qmcp completion fish > ~/.config/fish/completions/qmcp.fish`,
    )
    .action(async (shell) => (await import('./commands/completion.js')).completion(shell, program()));
}
