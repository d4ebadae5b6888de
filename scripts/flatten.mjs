/**
 * Bundles each library that core/vendor/ names into one file in dist/core/vendor/, because start-up time depends mostly on the
 * number of files loaded. Our own files stay separate. The licences of the bundled packages are written beside the bundles.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, sep } from 'node:path';
import { build } from 'esbuild';

const REQUIRE =
  "import { createRequire as __createRequire } from 'node:module';\nconst require = __createRequire(import.meta.url);";

export async function flatten(root) {
  const from = join(root, 'core/vendor');
  const to = join(root, 'dist/core/vendor');
  const entries = readdirSync(from).map((name) => [basename(name, '.ts'), join(from, name)]);
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(entries),
    outdir: to,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.18',
    // Some libraries are CommonJS and load Node's own modules with require.
    banner: { js: REQUIRE },
    chunkNames: '[name]-[hash]',
    metafile: true,
    logLevel: 'warning',
  });
  writeFileSync(
    join(to, 'LICENSES.txt'),
    licences(Object.keys(metafile.inputs).map((file) => join(root, file))),
  );
}

/** Collects the licence of every bundled package. Throws when a package has no licence text. */
function licences(files) {
  const inPackage = /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/;
  const folders = new Set(files.flatMap((file) => inPackage.exec(file.replaceAll(sep, '/'))?.[0] ?? []));
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const text = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    if (text === undefined) throw new Error(`${name} has no licence text in its package`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, text), 'utf8').trim()}\n`;
  });
  const head =
    'The files beside this one are made of the files of these packages, joined and otherwise unchanged.';
  return [`${head}\n`, ...texts].join(`\n${'-'.repeat(80)}\n\n`);
}
