import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const VENDOR = `${ROOT}dist/core/vendor/`;
const files = readdirSync(VENDOR).filter((name) => name.endsWith('.js'));

describe('the libraries that a start loads', () => {
  test('the bundled libraries need no file outside their folder', () => {
    const needed = files.flatMap((name) => {
      const { module } = parseSync(name, readFileSync(VENDOR + name, 'utf8'));
      return module.staticImports.map(({ moduleRequest }) => moduleRequest.value);
    });
    expect(needed.filter((each) => !isBuiltin(each) && !files.includes(each.replace('./', '')))).toEqual([]);
    expect(files).toEqual(
      expect.arrayContaining([
        'commander.js',
        'jose.js',
        'mcp.js',
        'mcp-http.js',
        'tsyringe.js',
        'typebox.js',
      ]),
    );
  });

  test('the bundled libraries export what their sources export', async () => {
    for (const name of ['commander', 'jose', 'mcp', 'mcp-http', 'tsyringe', 'typebox']) {
      const made = Object.keys((await import(`${VENDOR}${name}.js`)) as object);
      const meant = Object.keys((await import(`${ROOT}core/vendor/${name}.ts`)) as object);
      expect(made.sort()).toEqual(meant.sort());
    }
  });

  test('the bundled libraries come with their licences', () => {
    const texts = readFileSync(`${VENDOR}LICENSES.txt`, 'utf8');
    for (const name of [
      'commander',
      'typebox',
      'tsyringe',
      'reflect-metadata',
      '@modelcontextprotocol/server',
    ]) {
      const at = `${ROOT}node_modules/${name}`;
      const { version } = JSON.parse(readFileSync(`${at}/package.json`, 'utf8')) as { version: string };
      const text = readdirSync(at).find((each) => /^licen[cs]e/i.test(each))!;
      expect(texts).toContain(`${name} ${version} `);
      expect(texts).toContain(readFileSync(`${at}/${text}`, 'utf8').trim());
    }
  });
});
