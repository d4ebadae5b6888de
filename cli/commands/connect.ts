/** Writes the configuration of an MCP client, so that it starts this copy of qmcp from any folder. */
import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { UsageError } from '../arguments/input.js';
import { PACKAGE } from '../shipped/package.js';

interface ClientFile {
  readonly title: string;
  /** The file, from the home directory or from the working directory. */
  readonly path: (home: string, folder: string) => string;
  /** The key of the servers in it. */
  readonly servers: 'mcpServers' | 'servers';
}

const desktop: Readonly<Record<string, readonly string[]>> = {
  darwin: ['Library', 'Application Support', 'Claude'],
  win32: ['AppData', 'Roaming', 'Claude'],
};

/** The clients whose files are known. */
export const CLIENTS: Readonly<Record<string, ClientFile>> = {
  'claude-code': {
    title: 'Claude Code, in this folder',
    path: (_home, folder) => join(folder, '.mcp.json'),
    servers: 'mcpServers',
  },
  'claude-desktop': {
    title: 'Claude Desktop',
    path: (home) =>
      join(home, ...(desktop[process.platform] ?? ['.config', 'Claude']), 'claude_desktop_config.json'),
    servers: 'mcpServers',
  },
  cursor: {
    title: 'Cursor',
    path: (home) => join(home, '.cursor', 'mcp.json'),
    servers: 'mcpServers',
  },
  vscode: {
    title: 'VS Code, in this folder',
    path: (_home, folder) => join(folder, '.vscode', 'mcp.json'),
    servers: 'servers',
  },
};

/**
 * The command that starts this copy of qmcp. Absolute, because a client starts it in a folder of its own; and no bare name, because a
 * runner of packages would take that from a public registry, where it is somebody else's.
 */
export const commandOf = (words: readonly string[]) => ({
  command: process.execPath,
  args: [join(resolve(PACKAGE), 'cli', 'qmcp.js'), 'serve', ...words],
});

interface Flags {
  readonly print?: true;
  readonly name: string;
  readonly force?: true;
}

export function connect(client: string, words: readonly string[], { print, name, force }: Flags): void {
  const { path, servers, title } = CLIENTS[client]!;
  const entry = { ...(servers === 'servers' && { type: 'stdio' }), ...commandOf(words) };
  if (print) {
    process.stdout.write(`${JSON.stringify({ [servers]: { [name]: entry } }, null, 2)}\n`);
    return;
  }
  const file = path(homedir(), process.cwd());
  const config = read(file);
  const known = (config[servers] ?? {}) as Record<string, unknown>;
  const before = Object.hasOwn(known, name) ? JSON.stringify(known[name]) : undefined;
  if (before === JSON.stringify(entry)) {
    process.stdout.write(`${title} has it already: ${file}\n`);
    return;
  }
  if (before !== undefined && !force)
    throw new UsageError(
      `${file} has another server named ${name}: ${before}; choose another name with --name, or replace it with --force`,
    );
  write(file, { ...config, [servers]: { ...known, [name]: entry } });
  process.stdout.write(`wrote ${file}\nRestart ${title.split(',')[0]}, and it has the tools of qmcp.\n`);
}

/** The content of the file. A file that we cannot read as it is, we do not write. */
function read(file: string): Record<string, unknown> {
  if (!existsSync(file)) return {};
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    throw new UsageError(`${file} is not plain JSON; run this with --print, and add what it prints yourself`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new UsageError(
      `${file}: expected an object; run this with --print, and add what it prints yourself`,
    );
  return value as Record<string, unknown>;
}

/** Replaces the file at once: a client may read it at any time. */
function write(file: string, config: object): void {
  mkdirSync(dirname(file), { recursive: true });
  const next = `${file}.${process.pid}.new`;
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? 0o600;
  writeFileSync(next, `${JSON.stringify(config, null, 2)}\n`, { mode });
  renameSync(next, file);
}
