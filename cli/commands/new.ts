import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { VERSION } from '../../core/version.js';
import { BUILT_IN } from '../../plugins/index.js';
import { PACKAGE } from '../shipped/package.js';

const TEMPLATE = join(PACKAGE, 'cli', 'templates', 'plugin');
const SUFFIX = '.tmpl';

/** Writes a package for a plugin of that name. Its tests pass unchanged. */
export function newPlugin(name: string, { dir = name }: { dir?: string }): void {
  if (!/^[a-z][a-z0-9]*$/.test(name))
    throw new Error(
      `${JSON.stringify(name)}: expected lower-case letters and digits, starting with a letter`,
    );
  if (BUILT_IN.some(({ id }) => id === name))
    throw new Error(`${name} is the name of a built-in plugin; choose another name`);
  const folder = resolve(dir);
  if (existsSync(folder) && readdirSync(folder).length > 0)
    throw new Error(`${folder} is not empty; name a new folder with --dir`);

  const { devDependencies } = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as {
    devDependencies: Record<string, string>;
  };
  const words: Readonly<Record<string, string>> = {
    name,
    version: VERSION,
    typescript: devDependencies.typescript!,
    vite: devDependencies.vite!,
    vitest: devDependencies.vitest!,
  };
  const filled = (text: string) =>
    text.replace(/__([a-z]+)__/g, (placeholder, word: string) => words[word] ?? placeholder);
  for (const entry of readdirSync(TEMPLATE, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const source = join(entry.parentPath, entry.name);
    const target = filled(relative(TEMPLATE, source).slice(0, -SUFFIX.length)).replace(
      /^gitignore$/,
      '.gitignore',
    );
    mkdirSync(dirname(join(folder, target)), { recursive: true });
    writeFileSync(join(folder, target), filled(readFileSync(source, 'utf8')));
  }
  const where = relative(process.cwd(), folder) || '.';
  process.stdout.write(`Created a plugin in ${where}. Next:

  cd ${where}
  npm install      # unless qmcp, typescript and vitest are installed in a folder above
  npm test         # against a simulated host with the dom0 that ships
  npm run build

Its README.md explains how to use the plugin and what an operator must do in dom0 first.
`);
}
