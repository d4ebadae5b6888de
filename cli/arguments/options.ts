/** The options several commands share, said once. */
import { type Command, InvalidArgumentError, Option } from '../../core/vendor/commander.js';

const HOST = 'Where it runs:';
const CONFIGURATION = 'What it serves (over the configuration file):';

/** Adds what every command takes that talks to a host. */
export function reaching(command: Command): Command {
  return command.optionsGroup(HOST).addOption(host()).addOption(world()).addOption(client());
}

/** Adds what every command takes that loads plugins. */
export function configured(command: Command): Command {
  return reaching(command)
    .optionsGroup(CONFIGURATION)
    .addOption(config())
    .addOption(new Option('--preset <names>', 'start from presets: read-only, developer, …').argParser(list))
    .addOption(new Option('--plugins <names>', 'the plugins to load').argParser(list))
    .addOption(new Option('--include <patterns>', 'serve only these tools').argParser(list))
    .addOption(new Option('--exclude <patterns>', 'never serve these tools').argParser(list))
    .option('--read-only', 'serve only the tools that change nothing')
    .addOption(new Option('--timeout <seconds>', 'how long a call may take').argParser(seconds))
    .optionsGroup('Options:');
}

export function onRefusal(): Option {
  return new Option('--on-refusal <what>', 'when a plugin is refused').choices(['exit', 'skip']);
}

export function host(): Option {
  return new Option('--host <kind>', 'the host to serve (default: qubes in a qube, else sim)')
    .choices(['sim', 'qubes'])
    .env('QMCP_HOST');
}

export function world(): Option {
  return new Option('--world <name|file>', 'the simulated host’s world').default('demo').env('QMCP_WORLD');
}

export function config(): Option {
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

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

function seconds(text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new InvalidArgumentError('Expected a number of seconds.');
  return Number(text);
}

/** On this machine alone unless said. */
export function http(): Option {
  const where = '--http <[host:]port>';
  return new Option(where, 'serve over HTTP instead, by default on 127.0.0.1').argParser((text: string) => {
    const [, host = '127.0.0.1', port] = /^(?:(.+):)?(\d{1,5})$/.exec(text) ?? [];
    if (port === undefined || Number(port) > 65_535) throw new InvalidArgumentError('Expected [HOST:]PORT.');
    return { host: host.replace(/^\[(.+)\]$/, '$1'), port: Number(port) };
  });
}
