/** The `qmcp` command: what it takes, and which file does it. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { BadConfig, BootError, VERSION } from '../core/main.js';

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

program
  .command('serve')
  .description('serve MCP on standard input and output')
  .addOption(host())
  .addOption(world())
  .addOption(config())
  .addOption(client())
  .option('--read-only', 'serve only the tools that change nothing')
  .addOption(new Option('--on-refusal <what>', 'when a plugin is refused').choices(['exit', 'skip']))
  .action(async (options) => (await import('./serve.js')).serve(options));

program
  .command('demo')
  .description('watch an agent’s session on a simulated host, from both sides')
  .action(async () => (await import('./demo/demo.js')).demo());

program
  .command('plugins')
  .description('which plugins are loaded or refused, and why; exits 1 when any is refused')
  .addOption(host())
  .addOption(world())
  .addOption(config())
  .addOption(client())
  .action(async (options) => (await import('./plugins.js')).plugins(options));

program
  .command('doctor')
  .description('what is wrong on the way from here to dom0, and what to do about it')
  .addOption(host())
  .addOption(world())
  .addOption(config())
  .addOption(client())
  .action(async (options) => (await import('./doctor.js')).doctor(options));

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

function host(): Option {
  return new Option('--host <kind>', 'the host to serve (default: qubes in a qube, else sim)')
    .choices(['sim', 'qubes'])
    .env('QMCP_HOST');
}

function world(): Option {
  return new Option('--world <name|file>', 'the simulated host’s world').default('demo').env('QMCP_WORLD');
}

function config(): Option {
  return new Option('--config <file>', 'the configuration (default: qmcp.config.* and the like, here)').env(
    'QMCP_CONFIG',
  );
}

function client(): Option {
  return new Option('--client <path>', 'the qrexec client to call with').argParser((path: string) => {
    if (path === '') throw new InvalidArgumentError('Expected a path.');
    return path;
  });
}

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
