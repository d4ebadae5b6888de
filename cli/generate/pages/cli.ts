import type { Command } from '../../../core/vendor/commander.js';
import { program } from '../../program.js';
import { HEADING } from './markdown.js';

/** docs/reference/cli.md: the output of `--help` for every command. */
export function cliPage(): string {
  return `${HEADING('The qmcp command', 'cli/program.ts')}
The output of \`qmcp COMMAND --help\` for every command.

${all(program()).map(section).join('\n')}`;
}

const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];

function section(command: Command): string {
  let text = '';
  const write = (part: string) => {
    text += part;
  };
  // Always 100 columns, so that the page does not depend on this terminal.
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
