import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { qmcp, qmcpInProcess } from '../../test/support/qmcp.js';

// test/sdk/first-ten-minutes.test.ts builds and runs a new plugin; here only its files are checked.
let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'qmcp-new-'));
});
afterEach(() => rmSync(cwd, { recursive: true }));

describe('qmcp new plugin', () => {
  test('qmcp new plugin writes a complete package, in which no placeholder is left', async () => {
    const { code, stdout } = await qmcp(['new', 'plugin', 'hello', '--dir', 'packages/hello'], { cwd });
    expect([code, stdout]).toEqual([0, expect.stringContaining('cd packages/hello')]);
    const folder = join(cwd, 'packages/hello');
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
      entry.isFile(),
    );
    expect(files.map(({ name }) => name).sort()).toMatchInlineSnapshot(`
      [
        ".gitignore",
        "README.md",
        "hello.test.ts",
        "index.ts",
        "package.json",
        "qmcp.hello.Look.json",
        "services.ts",
        "tsconfig.build.json",
        "tsconfig.json",
        "vitest.config.ts",
      ]
    `);
    for (const { parentPath, name } of files)
      expect(readFileSync(join(parentPath, name), 'utf8')).not.toMatch(/__[a-z]+__/);
    expect(JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))).toMatchObject({
      name: 'qmcp-plugin-hello',
      peerDependencies: { qmcp: expect.stringMatching(/^\^\d+\.\d+\.\d+$/) },
    });
  });

  test.each([
    ['a name that no service could have', 'Hello-World', /lower-case letters and digits/],
    ['a path instead of a name', '../hello', /lower-case letters and digits/],
    ['the name of a plugin that ships', 'spawn', /choose another name/],
    ['a folder that is not empty', 'mine', /is not empty/],
  ])('qmcp new plugin refuses %s and writes nothing', async (_what, name, why) => {
    const before = name === 'mine';
    if (before) await qmcpInProcess(['new', 'plugin', 'mine'], { cwd });
    if (before) writeFileSync(join(cwd, 'mine/src/index.ts'), 'of my own');
    const { code, stderr } = await qmcpInProcess(['new', 'plugin', name], { cwd });
    expect([code, stderr]).toEqual([1, expect.stringMatching(why)]);
    expect(readdirSync(cwd)).toEqual(before ? ['mine'] : []);
    if (before) expect(readFileSync(join(cwd, 'mine/src/index.ts'), 'utf8')).toBe('of my own');
  });
});

describe('qmcp contracts', () => {
  test('qmcp contracts prints the contracts of a built-in plugin, and writes the same files that dom0 ships with --out', async () => {
    const { stdout } = await qmcpInProcess(['contracts', 'storage'], { cwd });
    expect(stdout).toContain('"service": "qmcp.storage.Budget"');
    const { code } = await qmcpInProcess(['contracts', 'storage', '--out', 'contracts'], { cwd });
    expect(code).toBe(0);
    for (const name of readdirSync(join(cwd, 'contracts'))) {
      const shipped = new URL(`../../dom0/contracts/${name}`, import.meta.url);
      expect(readFileSync(join(cwd, 'contracts', name), 'utf8')).toBe(readFileSync(shipped, 'utf8'));
    }
  });

  test('qmcp contracts says why a module is not a plugin, and then writes nothing', async () => {
    writeFileSync(join(cwd, 'x.mjs'), 'export default { id: "x" };');
    const { code, stderr } = await qmcpInProcess(['contracts', './x.mjs', '--out', 'contracts'], { cwd });
    expect([code, stderr]).toEqual([1, expect.stringContaining('plugin-api-version')]);
    expect(existsSync(join(cwd, 'contracts'))).toBe(false);
  });
});
