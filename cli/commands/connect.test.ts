import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { program } from '../program.js';
import { CLIENTS, commandOf, connect } from './connect.js';

let home: string;
let said: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'qmcp-connect-'));
  said = '';
  vi.stubEnv('HOME', home);
  vi.spyOn(process, 'cwd').mockReturnValue(home);
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(home, { recursive: true, force: true });
});

const fileOf = (client: string) => CLIENTS[client]!.path(home, home);
const contentOf = (client: string) => JSON.parse(readFileSync(fileOf(client), 'utf8'));
function prepare(client: string, text: string): void {
  mkdirSync(join(fileOf(client), '..'), { recursive: true });
  writeFileSync(fileOf(client), text);
}

test('qmcp connect takes the clients whose files are known', () => {
  const command = program().commands.find((each) => each.name() === 'connect')!;
  expect(command.registeredArguments[0]!.argChoices).toEqual(Object.keys(CLIENTS));
});

describe.each(Object.keys(CLIENTS))('qmcp connect %s', (client) => {
  const { servers } = CLIENTS[client]!;

  test('writes a file that starts this copy of qmcp from any folder', () => {
    connect(client, ['--preset', 'read-only'], { name: 'qmcp' });
    const entry = contentOf(client)[servers].qmcp;
    expect(entry).toMatchObject(commandOf(['--preset', 'read-only']));
    expect(isAbsolute(entry.command) && isAbsolute(entry.args[0]) && existsSync(entry.args[0])).toBe(true);
    expect(entry.args.slice(1)).toEqual(['serve', '--preset', 'read-only']);
    expect(said).toContain(fileOf(client));
  });

  test('keeps everything else in the file, and says so if there is nothing to do', () => {
    prepare(client, JSON.stringify({ theme: 'dark', [servers]: { other: { command: 'x' } } }));
    connect(client, [], { name: 'qmcp' });
    expect(contentOf(client)).toMatchObject({ theme: 'dark', [servers]: { other: { command: 'x' } } });
    const before = readFileSync(fileOf(client), 'utf8');
    connect(client, [], { name: 'qmcp' });
    expect(readFileSync(fileOf(client), 'utf8')).toBe(before);
    expect(said).toContain('has it already');
  });

  test('replaces a server of that name only if it is told to', () => {
    prepare(client, JSON.stringify({ [servers]: { qmcp: { command: 'mine' } } }));
    expect(() => connect(client, [], { name: 'qmcp' })).toThrow('--force');
    expect(contentOf(client)[servers].qmcp).toEqual({ command: 'mine' });
    connect(client, [], { name: 'second' });
    expect(contentOf(client)[servers].qmcp).toEqual({ command: 'mine' });
    connect(client, [], { name: 'qmcp', force: true });
    expect(contentOf(client)[servers].qmcp).toMatchObject(commandOf([]));
  });

  test('leaves a file alone that it cannot read, and says what to do', () => {
    for (const text of ['{ // a comment\n}', '[]', '']) {
      prepare(client, text);
      expect(() => connect(client, [], { name: 'qmcp' })).toThrow('--print');
      expect(readFileSync(fileOf(client), 'utf8')).toBe(text);
    }
  });

  test('prints what it would write, and writes nothing', () => {
    connect(client, [], { name: 'qmcp', print: true });
    expect(JSON.parse(said)[servers].qmcp).toMatchObject(commandOf([]));
    expect(existsSync(fileOf(client))).toBe(false);
  });
});
