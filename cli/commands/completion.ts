/** Generates completion scripts from the descriptions of the commands. The scripts ask qmcp itself for the names of tools. */
import type { Command, Option } from '../../core/vendor/commander.js';

interface CommandDescription {
  /** The words that select the command, such as `sim ctl`. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  readonly options: readonly {
    readonly flag: string;
    readonly about: string;
    readonly words: readonly string[];
  }[];
  /** The allowed values of its arguments. */
  readonly words: readonly string[];
}

export function completion(shell: 'bash' | 'zsh' | 'fish', program: Command): void {
  process.stdout.write({ bash, zsh, fish }[shell](describeCommands(program)));
}

export function describeCommands(command: Command, path: readonly string[] = []): CommandDescription[] {
  const commands = command.commands.map((each) => ({ name: each.name(), about: each.description() }));
  const options = command.options
    .filter((option: Option) => option.long && !option.hidden)
    .map((option) => ({ flag: option.long!, about: option.description, words: option.argChoices ?? [] }));
  const words = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []);
  return [
    { path: path.join(' '), commands, options, words },
    ...command.commands.flatMap((each) => describeCommands(each, [...path, each.name()])),
  ];
}

/** Every word that can follow a command. */
const choices = ({ commands, options, words }: CommandDescription): string =>
  [...commands.map(({ name }) => name), ...words, ...options.map(({ flag }) => flag), '--help'].join(' ');

/** Commands whose first argument is the name of a tool or an invariant; only qmcp itself knows these. */
const TAKES_NAME = ['call', 'explain'];
const LIST_NAMES = 'qmcp explain --list 2>/dev/null';

function bash(all: readonly CommandDescription[]): string {
  const cases = all.map((each) => `    '${each.path}') words='${choices(each)}' ;;`).join('\n');
  const values = all
    .flatMap(({ options }) => options)
    .filter(
      ({ words }, index, list) =>
        words.length > 0 && list.findIndex(({ flag }) => flag === list[index]!.flag) === index,
    )
    .map(
      ({ flag, words }) => `    ${flag}) COMPREPLY=($(compgen -W '${words.join(' ')}' -- "$cur")); return ;;`,
    )
    .join('\n');
  const paths = all.map(({ path }) => path).filter(Boolean);
  return `# bash completion for qmcp
_qmcp() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path='' word words
  case "$previous" in
${values}
    --config|--dir|--client|--output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
  esac
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${path:+$path }$word" in
      ${paths.map((path) => `'${path}'`).join('|')}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${cases}
  esac
  case "$path" in
    ${TAKES_NAME.join('|')}) [[ "$previous" == "$path" ]] && words="$(${LIST_NAMES}) $words" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _qmcp qmcp
`;
}

function zsh(all: readonly CommandDescription[]): string {
  const quote = (text: string) => text.replaceAll("'", "'\\''").replaceAll(':', '\\:');
  const lines = all.map((each) => {
    const described = [
      ...each.commands.map(({ name, about }) => `'${name}:${quote(about)}'`),
      ...each.words.map((word) => `'${word}'`),
      ...each.options.map(({ flag, about }) => `'${flag}:${quote(about)}'`),
    ];
    return `    '${each.path}') words=(${described.join(' ')}) ;;`;
  });
  const paths = all.map(({ path }) => path).filter(Boolean);
  return `#compdef qmcp
_qmcp() {
  local path_='' word
  local -a words_before words
  words_before=("\${(@)words[2,CURRENT-1]}")
  local previous="\${words_before[-1]}"
  case "$previous" in
    --config|--dir|--client|--output|-o) _files; return ;;
  esac
  for word in $words_before; do
    case "\${path_:+$path_ }$word" in
      ${paths.map((path) => `'${path}'`).join('|')}) path_="\${path_:+$path_ }$word" ;;
    esac
  done
  words=()
  case "$path_" in
${lines.join('\n')}
  esac
  case "$path_" in
    ${TAKES_NAME.join('|')}) [[ "$previous" == "$path_" ]] && words+=(\${(f)"$(${LIST_NAMES})"}) ;;
  esac
  _describe 'qmcp' words
}
compdef _qmcp qmcp
`;
}

function fish(all: readonly CommandDescription[]): string {
  const quote = (text: string) => text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
  const lines = all.flatMap(({ path, commands, options, words }) => {
    const steps = path.split(' ').filter(Boolean);
    const names = commands.map(({ name }) => name);
    const here = [
      ...steps.map((step) => `__fish_seen_subcommand_from ${step}`),
      ...(names.length > 0 ? [`not __fish_seen_subcommand_from ${names.join(' ')}`] : []),
    ].join('; and ');
    const when = here === '' ? '' : ` -n '${here}'`;
    return [
      ...commands.map(({ name, about }) => `complete -c qmcp -f${when} -a ${name} -d '${quote(about)}'`),
      ...words.map((word) => `complete -c qmcp -f${when} -a ${word}`),
      ...options.map(({ flag, about, words: values }) => {
        const taken = values.length > 0 ? ` -x -a '${values.join(' ')}'` : '';
        return `complete -c qmcp${when} -l ${flag.slice(2)}${taken} -d '${quote(about)}'`;
      }),
      ...(TAKES_NAME.includes(path) ? [`complete -c qmcp -f${when} -a '(${LIST_NAMES})'`] : []),
    ];
  });
  return `# fish completion for qmcp\n${lines.join('\n')}\n`;
}
