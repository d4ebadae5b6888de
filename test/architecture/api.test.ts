import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { expect, test } from 'vitest';

const API = fileURLToPath(new URL('../../core/api', import.meta.url));

/** The exports of a file, by name; `*` stands for all exports of another file. */
function exportsOf(file: string): { readonly name: string; readonly from: string | undefined }[] {
  const { module } = parseSync(file, readFileSync(join(API, file), 'utf8'));
  return module.staticExports.flatMap(({ entries }) =>
    entries.map(({ exportName, importName, moduleRequest }) => ({
      name: importName.kind === 'All' ? '*' : (importName.name ?? exportName.name ?? 'default'),
      from: moduleRequest?.value,
    })),
  );
}

test('core/api is exactly what its index exports; the rest is in folders called internal and generated', () => {
  const files = readdirSync(API, { recursive: true, encoding: 'utf8' }).filter(
    (file) =>
      file.endsWith('.ts') &&
      !file.endsWith('.test.ts') &&
      file !== 'index.ts' &&
      !/^(internal|generated)\//.test(file),
  );
  const offered = exportsOf('index.ts');
  const hidden = files.flatMap((file) => {
    const from = `./${file.replace(/\.ts$/, '.js')}`;
    const names = offered.filter((one) => one.from === from).map(({ name }) => name);
    if (names.includes('*')) return [];
    return exportsOf(file)
      .filter(({ name }) => !names.includes(name))
      .map(({ name }) => `${file}: ${name}`);
  });
  expect(files.length).toBeGreaterThan(10);
  expect(hidden).toEqual([]);
  expect(offered.filter(({ from }) => from !== undefined && /internal|generated/.test(from))).toEqual([]);
});
