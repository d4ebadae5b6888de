/** The `qmcp` command: what it takes, and which file does it. */
import { Command, Option } from 'commander';
import { BadConfig, BootError, VERSION } from '../core/main.js';
import { config, configured, onRefusal, world } from './options.js';

const program = new Command('qmcp')
  .description(
    'MCP for Qubes OS: agents get real power over a bounded world of qubes, and dom0 enforces every limit.',
  )
  .version(VERSION)
  .showHelpAfterError('(qmcp --help says more)')
  // Before the commands, which take it over: --help and --version are no failures, the rest is the command line's fault.
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
  .addHelpText(
    'after',
    `
Exit codes: 0 done; 1 refused, or something is wrong; 2 the command line or the configuration is wrong.
QMCP_HOST, QMCP_WORLD and QMCP_CONFIG stand for --host, --world and --config; a flag wins.`,
  );

configured(program.command('serve'))
  .description('serve MCP on standard input and output')
  .addOption(onRefusal())
  .action(async (options) => (await import('./serve.js')).serve(options));

program
  .command('demo')
  .description('watch an agent’s session on a simulated host, from both sides')
  .action(async () => (await import('./demo/demo.js')).demo());

configured(program.command('plugins'))
  .description('which plugins are loaded or refused, and why; exits 1 when any is refused')
  .action(async (options) => (await import('./plugins.js')).plugins(options));

configured(program.command('doctor'))
  .description('what is wrong on the way from here to dom0, and what to do about it')
  .action(async (options) => (await import('./doctor.js')).doctor(options));

program
  .command('bundle')
  .description('what dom0 installs: its code, and the contracts of the plugins named in the configuration')
  .addOption(config())
  .option('-o, --output <file>', 'where to write it (default: standard output, when that is no terminal)')
  .action(async (options) => (await import('./bundle.js')).bundle(options));

configured(program.command('pin'))
  .description(
    'write down what an agent’s model is shown, so that a change of it is not served until you have looked',
  )
  .option('--review', 'show what has changed since, and write it down when you agree')
  .option('--yes', 'agree to what --review shows')
  .action(async (options) => (await import('./pin.js')).pin(options));

program
  .command('contracts')
  .description('the contracts of a plugin, as the operator reviews and installs them in dom0')
  .argument('<plugin>', 'a built-in one, a package, or a path as in ./hello')
  .option('-o, --out <folder>', 'write SERVICE.json files there (default: print them)')
  .action(async (plugin, options) => (await import('./contracts.js')).contracts(plugin, options));

program
  .command('new')
  .description('start something of your own')
  .command('plugin')
  .description('a package for a plugin, with a tool, a contract, and tests that pass')
  .argument('<name>', 'lower-case letters and digits: its services are qmcp.NAME.*')
  .option('--dir <folder>', 'where (default: a folder of that name)')
  .action(async (name, options) => (await import('./new.js')).newPlugin(name, options));

const sim = program
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
  .action(async (options) => (await import('./simulate.js')).simulate(options));

sim
  .command('ctl')
  .description('do to a running simulated host what its operator would; without words, says what there is')
  .requiredOption('--dir <folder>', 'where that host is')
  .argument('[words...]')
  // A word may start with a hyphen, as in: tag work -ai-managed
  .passThroughOptions()
  .action(async (words, options) => (await import('./ctl.js')).ctl(words, options));

try {
  await program.parseAsync();
} catch (error) {
  const { message } = error as Error;
  if (error instanceof BadConfig) process.exitCode = 2;
  else if (error instanceof BootError)
    process.stderr.write('qmcp: not started, because of what follows; --on-refusal skip starts without it\n');
  process.exitCode ??= 1;
  process.stderr.write(`${message.replace(/^/gm, 'qmcp: ')}\n`);
}
