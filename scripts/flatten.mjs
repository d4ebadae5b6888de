/**
 * Makes one file of each library that core/vendor/ names, in dist/core/vendor/: what a start costs is mostly the number of
 * files it loads. Ours stay as they are. The licences of what went in are written down beside it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { rolldown } from 'rolldown';

export async function flatten(root) {
  const from = join(root, 'core/vendor');
  const to = join(root, 'dist/core/vendor');
  const entries = readdirSync(from).map((name) => [basename(name, '.ts'), join(from, name)]);
  const bundle = await rolldown({ input: Object.fromEntries(entries), platform: 'node', cwd: root });
  try {
    const { output } = await bundle.write({ dir: to, format: 'esm', chunkFileNames: '[name].js' });
    const files = output.flatMap(({ moduleIds = [] }) => moduleIds);
    writeFileSync(join(to, 'LICENSES.txt'), licences(files));
  } finally {
    await bundle.close();
  }
}

/** Of every package that a file is from. Throws when one has no licence to hand on. */
function licences(files) {
  const inPackage = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/;
  const folders = new Set(files.flatMap((file) => inPackage.exec(file.replaceAll(sep, '/'))?.[0] ?? []));
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const text = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    if (text === undefined) throw new Error(`${name} comes without the text of its licence`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, text), 'utf8').trim()}\n`;
  });
  const head =
    'The files beside this one are made of the files of these packages, joined and otherwise unchanged.';
  return [`${head}\n`, ...texts].join(`\n${'-'.repeat(80)}\n\n`);
}
