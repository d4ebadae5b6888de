/** A line as the shell in memory can run it: jobs, `$!`, `wait` and programs by their path become commands of ours. */
import {
  type CommandNode,
  type ScriptNode,
  type SimpleCommandNode,
  type StatementNode,
  serialize,
} from 'just-bash';

/** Commands of ours that no line names. */
export const JOB = '.qmcp-job';
export const WAIT = '.qmcp-wait';
/** Stands before an `exit`: the shell in memory forgets its variables there, and a trap needs them. */
export const LEAVE = '.qmcp-leave';
export const PROGRAM = '.qmcp-program';
/** Has the number of the last job: the shell's own `$!` is always 0. */
export const LAST_JOB = 'QMCP_LAST_JOB';

/**
 * Begins the target of a redirection that writes. The shell in memory checks such a target only for being a directory, and cannot go
 * on after a write that fails: marked, it can be checked before.
 */
export const WRITTEN = '/dev/.qmcp-written/';
const WRITES = ['>', '>>', '>|', '<>'];

type GroupNode = Extract<CommandNode, { type: 'Group' }>;
type RedirectionNode = SimpleCommandNode['redirections'][number];
type Word = SimpleCommandNode['args'][number];

/** `isLine`: it is the line of the shell itself, and no script that the line runs. */
export function rewritten(ast: ScriptNode, isLine: boolean): ScriptNode {
  const functions: StatementNode[] = [];
  return rewrite(ast, functions, !isLine) as ScriptNode;
}

/**
 * `functions` are those defined before: a job has a shell of its own, which does not know them. `isInner`: in a shell of its own,
 * which an `exit` ends.
 */
function rewrite(value: unknown, functions: StatementNode[], isInner: boolean): unknown {
  if (Array.isArray(value)) return value.map((one) => rewrite(one, functions, isInner));
  if (typeof value !== 'object' || value === null) return value;
  const node = value as { readonly type?: string };
  if (node.type === 'Statement') {
    const statement = node as StatementNode;
    if (statement.background) return asJob(statement, functions);
    if (statement.pipelines[0]?.commands[0]?.type === 'FunctionDef') functions.push(statement);
  }
  const inner = isInner || ['Subshell', 'CommandSubstitution'].includes(node.type ?? '');
  const parts = Object.entries(node).map(([key, part]) => [key, rewrite(part, functions, inner)]);
  const copy = Object.fromEntries(parts) as Record<string, unknown>;
  if (node.type === 'ParameterExpansion' && copy.parameter === '!') copy.parameter = LAST_JOB;
  if (node.type === 'Redirection') return marked(copy as unknown as RedirectionNode);
  return node.type === 'SimpleCommand' ? byOurs(copy as unknown as SimpleCommandNode, isInner) : copy;
}

function asJob(statement: StatementNode, functions: readonly StatementNode[]): StatementNode {
  const { sourceText: _, ...job } = { ...statement, background: false };
  const line = serialize({ type: 'Script', statements: [...functions, job] });
  return statementOf(plain(JOB, { type: 'Word', parts: [{ type: 'SingleQuoted', value: line }] }));
}

const plain = (name: string, ...args: Word[]): SimpleCommandNode => ({
  ...{ type: 'SimpleCommand', assignments: [], redirections: [] },
  ...{ name: word(name), args },
});

const statementOf = (command: CommandNode): StatementNode => ({
  ...{ type: 'Statement', operators: [], background: false },
  pipelines: [{ type: 'Pipeline', commands: [command], negated: false }],
});

const group = (commands: readonly CommandNode[]): GroupNode => ({
  ...{ type: 'Group', redirections: [] },
  body: commands.map(statementOf),
});

function byOurs(command: SimpleCommandNode, isInner: boolean): SimpleCommandNode | GroupNode {
  const parts = command.name?.parts ?? [];
  const [first] = parts;
  const name = parts.length === 1 && first?.type === 'Literal' ? first.value : undefined;
  if (name === 'wait') return { ...command, name: word(WAIT) };
  if (name === 'exit' && !isInner) return group([plain(LEAVE), command]);
  // The exit code of an assignment is 0, and so is that of a loop that was left. The shell in memory keeps the one before.
  if (command.name === null && command.assignments.length > 0 && !hasSubstitution(command))
    return group([command, plain(':')]);
  if (name === 'break') return group([plain(':'), command]);
  // The shell in memory goes on after it.
  const [replacement, ...args] = command.args;
  if (name === 'exec' && replacement)
    return group([byOurs({ ...command, name: replacement, args }, isInner), plain('exit')]);
  const isPath = parts.some((part) => part.type === 'Literal' && part.value.includes('/'));
  return isPath ? { ...command, name: word(PROGRAM), args: [command.name!, ...command.args] } : command;
}

function marked(redirection: RedirectionNode): RedirectionNode {
  const { operator, target } = redirection;
  if (!WRITES.includes(operator) || target.type !== 'Word') return redirection;
  const [first] = target.parts;
  // The shell knows the names of devices.
  if (first?.type === 'Literal' && first.value.startsWith('/dev/')) return redirection;
  return { ...redirection, target: { ...target, parts: [...word(WRITTEN).parts, ...target.parts] } };
}

const hasSubstitution = (node: unknown): boolean =>
  typeof node === 'object' &&
  node !== null &&
  ((node as { type?: string }).type === 'CommandSubstitution' || Object.values(node).some(hasSubstitution));

const word = (value: string): Word => ({ type: 'Word', parts: [{ type: 'Literal', value }] });
