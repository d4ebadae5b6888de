import type { Command } from '../../../core/vendor/commander.js';
import { program } from '../../program.js';
import { HEADING } from './markdown.js';

/** docs/reference/cli.md: what `--help` says, of every command. */
export function cliPage(): string {
  return `${HEADING('The qmcp command', 'cli/program.ts')}
What \`qmcp COMMAND --help\` says.

${all(program()).map(section).join('\n')}`;
}

const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];

function section(command: Command): string {
  let text = '';
  const write = (part: string) => {
    text += part;
  };
  // As a terminal of 100 columns shows it, whatever this one is.
  command.configureOutput({
    writeOut: write,
    writeErr: write,
    getOutHelpWidth: () => 100,
    getOutHasColors: () => false,
  });
  command.outputHelp();
  return `## ${nameOf(command)}\n\n\`\`\`\n${text.trimEnd()}\n\`\`\`\n`;
}

const nameOf = (command: Command): string =>
  command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`;
