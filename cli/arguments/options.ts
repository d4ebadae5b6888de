/** The options that several commands share. */
import { type Command, InvalidArgumentError, Option } from '../../core/vendor/commander.js';

const HOST = 'Host:';
const CONFIGURATION = 'Configuration (overrides the configuration file):';

/** Adds the options of every command that calls a host. */
export function withHostOptions(command: Command): Command {
  return command.optionsGroup(HOST).addOption(host()).addOption(world()).addOption(client());
}

/** Adds the options of every command that loads plugins. */
export function withConfigOptions(command: Command): Command {
  return withHostOptions(command)
    .optionsGroup(CONFIGURATION)
    .addOption(config())
    .addOption(new Option('--preset <names>', 'start from presets: read-only, developer, …').argParser(list))
    .addOption(new Option('--plugins <names>', 'the plugins to load').argParser(list))
    .addOption(new Option('--include <patterns>', 'serve only these tools').argParser(list))
    .addOption(new Option('--exclude <patterns>', 'never serve these tools').argParser(list))
    .option('--read-only', 'serve only tools that change nothing')
    .addOption(new Option('--timeout <seconds>', 'the time limit of a call').argParser(seconds))
    .optionsGroup('Options:');
}

export function onRefusal(): Option {
  return new Option('--on-refusal <action>', 'what to do when a plugin is refused').choices(['exit', 'skip']);
}

export function host(): Option {
  return new Option('--host <kind>', 'the host to call (default: qubes inside a qube, otherwise sim)')
    .choices(['sim', 'qubes'])
    .env('QMCP_HOST');
}

export function world(): Option {
  return new Option('--world <name|file>', 'the world file of the simulated host')
    .default('demo')
    .env('QMCP_WORLD');
}

export function config(): Option {
  return new Option(
    '--config <file>',
    'the configuration file (default: qmcp.config.* and similar names in this folder)',
  ).env('QMCP_CONFIG');
}

function client(): Option {
  return new Option('--client <path>', 'the qrexec client to use').argParser((path: string) => {
    if (path === '') throw new InvalidArgumentError('Expected a path.');
    return path;
  });
}

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

function seconds(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('Expected a number of seconds.');
  return Number(text);
}

/** Listens only on this machine unless a host is given. */
export function http(): Option {
  const flags = '--http <[host:]port>';
  return new Option(
    flags,
    'serve over HTTP instead of standard input and output (default host: 127.0.0.1)',
  ).argParser((text: string) => {
    const [, host = '127.0.0.1', port] = /^(?:(.+):)?(\d{1,5})$/.exec(text) ?? [];
    if (port === undefined || Number(port) > 65_535) throw new InvalidArgumentError('Expected [HOST:]PORT.');
    return { host: host.replace(/^\[(.+)\]$/, '$1'), port: Number(port) };
  });
}
