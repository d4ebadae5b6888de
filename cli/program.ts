/** The `qmcp` command: what it takes, and which file does it. Completion and the reference are made from this. */
import { DEBUG_CHANNELS } from '../core/config/debug.js';
import { Argument, Command, Option } from '../core/vendor/commander.js';
import { VERSION } from '../core/version.js';
import { config, configured, http, onRefusal, world } from './arguments/options.js';

const EXAMPLES = `
Examples:
  qmcp demo                                 see what this is, on a simulated host
  qmcp doctor                               see whether this qube can reach dom0
  qmcp serve --preset audit                 serve tools that only look
  qmcp call qube_list                       call a tool yourself
  qmcp call exec_run qube=ai-one 'command=ls -l /home'
  qmcp explain qube_remove                  what bounds it, down to the line

Exit codes:
  0  done
  1  refused, or something is wrong
  2  the command line or the configuration is wrong

QMCP_HOST, QMCP_WORLD and QMCP_CONFIG stand for --host, --world and --config;
a flag wins. QMCP_PYTHON names the interpreter that a simulated host uses; otherwise
it is the python3 in PATH. Colour only on a terminal, and not when NO_COLOR is set.
QMCP_DEBUG=${Object.keys(DEBUG_CHANNELS).join(',')} (or *) writes what qmcp does to standard error,
one line each, without the contents of calls.`;

/** A fresh one, with nothing parsed yet. */
export function program(): Command {
  const qmcp = new Command('qmcp')
    .description(
      'MCP for Qubes OS: agents get real power over a bounded world of qubes, and dom0 enforces every limit.',
    )
    .version(VERSION)
    .showHelpAfterError('(qmcp --help says more)')
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: false })
    // Throw instead of ending the process. Before the commands, which take it over.
    .exitOverride()
    .addHelpText('after', EXAMPLES);
  serving(qmcp);
  looking(qmcp);
  trusting(qmcp);
  writing(qmcp);
  return qmcp;
}

function serving(qmcp: Command): void {
  qmcp.commandsGroup('Serve:');
  configured(qmcp.command('serve'))
    .description('serve MCP on standard input and output')
    .addOption(onRefusal())
    .addOption(http())
    .option('--token-file <file>', 'what a client has to bring over HTTP; needed where others reach it')
    .addHelpText('after', '\nIn a client: { "command": "npx", "args": ["qmcp", "serve"] }')
    .action(async (options) => (await import('./commands/serve.js')).serve(options));

  qmcp
    .command('demo')
    .description('watch an agent’s session on a simulated host, from both sides')
    .action(async () => (await import('./demo/demo.js')).demo());
  simulating(qmcp);
}

function simulating(qmcp: Command): void {
  const sim = qmcp
    .enablePositionalOptions()
    .command('sim')
    .enablePositionalOptions()
    .description('run a simulated host until interrupted, and say how to call it')
    .addOption(world())
    .option('--dir <folder>', 'where it keeps everything (default: a new folder, removed at the end)')
    .addOption(
      new Option('--api <release>', 'the release whose Admin API it speaks (default: the world’s)').choices([
        '4.2',
        '4.3',
        '4.4',
      ]),
    )
    .addOption(
      new Option(
        '--guests <engine>',
        'what qubes have inside: a shell in memory, or bubblewrap sandboxes',
      ).choices(['memory', 'bwrap']),
    )
    .option('--seed <number>', 'what its chance is drawn from')
    .option('--source <qube>', 'the qube whose qrexec-client-vm it leaves (default: mcp-control)')
    .action(async (options) => (await import('./commands/sim.js')).simulate(options));

  sim
    .command('ctl')
    .description('do to a running simulated host what its operator would; without words, says what there is')
    .requiredOption('--dir <folder>', 'where that host is')
    .argument('[words...]')
    // A word may start with a hyphen, as in: tag work -ai-managed
    .passThroughOptions()
    .action(async (words, options) => (await import('./commands/sim-ctl.js')).ctl(words, options));
}

function looking(qmcp: Command): void {
  qmcp.commandsGroup('Look, and call:');
  configured(qmcp.command('doctor'))
    .description('what is wrong on the way from here to dom0, and what to do about it')
    .option('--json', 'as JSON')
    .action(async (options) => (await import('./doctor/doctor.js')).doctor(options));

  configured(qmcp.command('plugins'))
    .description('which plugins are loaded or refused, and why; exits 1 when any is refused')
    .action(async (options) => (await import('./commands/plugins.js')).plugins(options));

  configured(qmcp.command('tools'))
    .description('which tools an agent is shown')
    .option('--all', 'also those it is not shown, and why')
    .option('--json', 'as JSON')
    .action(async (options) => (await import('./commands/tools.js')).tools(options));

  configured(qmcp.command('call'))
    .description('call a tool, as an agent would')
    .argument('<tool>', 'its name')
    .argument('[key=value...]', 'its input: text as it is, anything else as in JSON; a.b=… sets a key inside')
    .option('--input <json>', 'the whole input as JSON; - reads it from standard input')
    .option('--json', 'the result as JSON')
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
    .description('what a tool does and what bounds it: contract, lines in dom0, tests; or an invariant')
    .argument('[tool|invariant]')
    .addOption(config())
    .option('--list', 'what can be explained')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExamples:\n  qmcp explain exec_run\n  qmcp explain egress.within-ceiling')
    .action(async (what, options, command: Command) => {
      if (what === undefined && !options.list)
        command.error('error: missing argument tool or invariant; --list says which');
      const { explain, explainable } = await import('./commands/explain.js');
      await (options.list ? explainable(options) : explain(what, options));
    });

  const settings = qmcp.command('config').description('the configuration, as it is understood here');
  configured(settings.command('show', { isDefault: true }))
    .description('every value; with --origin, also who said it')
    .addOption(onRefusal())
    .option('--origin', 'who said each value: flag, environment, file and line, preset or default')
    .option('--json', 'as JSON')
    .action(async (options) => (await import('./commands/config.js')).show(options));
}

function trusting(qmcp: Command): void {
  qmcp.commandsGroup('Review, and install:');
  configured(qmcp.command('pin'))
    .description(
      'write down what an agent’s model is shown, so that a change of it is not served until you have looked',
    )
    .option('--review', 'show what has changed since, and write it down when you agree')
    .option('--yes', 'agree to what --review shows')
    .action(async (options) => (await import('./commands/pin.js')).pin(options));

  qmcp
    .command('bundle')
    .description('what dom0 installs: its code, and the contracts of the plugins named in the configuration')
    .addOption(config())
    .option('-o, --output <file>', 'where to write it (default: standard output, when that is no terminal)')
    .action(async (options) => (await import('./commands/bundle.js')).bundle(options));

  qmcp
    .command('contracts')
    .description('the contracts of a plugin, as the operator reviews and installs them in dom0')
    .argument('<plugin>', 'a built-in one, a package, or a path as in ./hello')
    .option('-o, --out <folder>', 'write SERVICE.json files there (default: print them)')
    .action(async (plugin, options) => (await import('./commands/contracts.js')).contracts(plugin, options));
}

function writing(qmcp: Command): void {
  qmcp.commandsGroup('Write your own:');
  qmcp
    .command('new')
    .description('start something of your own')
    .command('plugin')
    .description('a package for a plugin, with a tool, a contract, and tests that pass')
    .argument('<name>', 'lower-case letters and digits: its services are qmcp.NAME.*')
    .option('--dir <folder>', 'where (default: a folder of that name)')
    .action(async (name, options) => (await import('./commands/new.js')).newPlugin(name, options));

  qmcp.commandsGroup('The shell:');
  qmcp
    .command('completion')
    .description('a script that completes qmcp’s words in your shell')
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
