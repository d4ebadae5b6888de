/**
 * The shell in memory returns the output of a line when the line has ended. To get it earlier, each command of the line appends
 * to one of two files, which this file system intercepts.
 */
import {
  type CommandNode,
  type MountableFs,
  type PipelineNode,
  parse,
  type ScriptNode,
  type StatementNode,
} from 'just-bash';

const STREAMS: Readonly<Record<string, 'stdout' | 'stderr'>> = {
  '/dev/.qmcp-stdout': 'stdout',
  '/dev/.qmcp-stderr': 'stderr',
};

type Simple = Extract<CommandNode, { type: 'SimpleCommand' }>;

const [OUT, ERR] = Object.keys(STREAMS);
const redirections = (text: string) =>
  (parse(`x ${text}`).statements[0]!.pipelines[0]!.commands[0] as Simple).redirections;

/** Commands return their output when they end, one after the other if a line has several. */
export function heard(ast: ScriptNode): ScriptNode {
  for (const statement of ast.statements) hearStatement(statement);
  return ast;
}

function hearStatement({ pipelines }: StatementNode): void {
  for (const pipeline of pipelines) hearPipeline(pipeline);
}

function hearPipeline({ commands }: PipelineNode): void {
  commands.forEach((command, at) => {
    const last = at === commands.length - 1;
    const parts = commands.length === 1 && command.redirections.length === 0 ? within(command) : [];
    if (parts.length > 0) for (const statement of parts) hearStatement(statement);
    else if (speaks(command))
      // Our redirections come first, so that those of the line win.
      command.redirections.unshift(...redirections(`${last ? `>>${OUT} ` : ''}2>>${ERR}`));
  });
}

const speaks = (command: CommandNode): boolean =>
  command.type === 'SimpleCommand' ? command.name !== null : command.type !== 'FunctionDef';

function within(command: CommandNode): readonly StatementNode[] {
  switch (command.type) {
    case 'If':
      return [
        ...command.clauses.flatMap(({ condition, body }) => [...condition, ...body]),
        ...(command.elseBody ?? []),
      ];
    case 'For':
    case 'CStyleFor':
    case 'Group':
    case 'Subshell':
      return command.body;
    case 'While':
    case 'Until':
      return [...command.condition, ...command.body];
    case 'Case':
      return command.items.flatMap(({ body }) => body);
    default:
      return [];
  }
}

/** The same files except for those two: bytes written to them go to `onOutput`, and they never exist. */
export function tapped(
  fs: MountableFs,
  onOutput: (stream: 'stdout' | 'stderr', bytes: Uint8Array) => Promise<unknown>,
): MountableFs {
  const write =
    (real: MountableFs['writeFile']): MountableFs['writeFile'] =>
    async (path, content, options) => {
      const stream = STREAMS[path];
      if (stream === undefined) return real.call(fs, path, content, options);
      if (content.length > 0) await onOutput(stream, bytesOf(content, options));
    };
  const taps = { writeFile: write(fs.writeFile), appendFile: write(fs.appendFile) };
  return new Proxy(fs, {
    get(target, name) {
      if (name === 'writeFile' || name === 'appendFile') return taps[name];
      const value = Reflect.get(target, name) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

function bytesOf(content: string | Uint8Array, options: unknown): Uint8Array {
  if (typeof content !== 'string') return content.slice();
  const encoding =
    typeof options === 'string' ? options : (options as { encoding?: string } | undefined)?.encoding;
  return Buffer.from(content, encoding === 'binary' || encoding === 'latin1' ? 'latin1' : 'utf8');
}
