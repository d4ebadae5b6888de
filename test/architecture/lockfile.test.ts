/** The requirements of `npm ci` on package-lock.json, on every platform. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { packageFile } from '../../sim/root.js';

interface Package {
  readonly resolved?: string;
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

type Packages = Readonly<Record<string, Package>>;

const json = (name: string) => JSON.parse(readFileSync(packageFile(name), 'utf8'));
const { '': root, ...packages } = json('package-lock.json').packages as Packages;

/** The paths where npm looks for a dependency of the package at `from`: beside it, or in an outer folder. */
function find(all: Packages, from: string, name: string): string | undefined {
  for (let folder = from; ; folder = folder.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, '')) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    if (all[path] !== undefined) return path;
    if (folder === '') return undefined;
  }
}

/** The dependencies of any package, on any platform, that the lock file lacks. */
const missing = (all: Packages): string[] =>
  Object.entries(all).flatMap(([path, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter((name) => find(all, path, name) === undefined)
      .map((name) => `${path} needs ${name}`),
  );

test('the lock file has every package that another needs, also those of other platforms', () => {
  expect(missing(packages)).toEqual([]);
  const platforms = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
    Object.keys(optionalDependencies),
  );
  for (const name of ['darwin-arm64', 'linux-arm64', 'linux-x64', 'win32-x64'])
    expect(platforms.filter((each) => each.includes(name)).length, name).toBeGreaterThan(1);
  // A lock file that was made beside an existing node_modules has the packages of one platform only.
  const { 'node_modules/@biomejs/cli-darwin-arm64': _, ...fewer } = packages;
  expect(missing(fewer)).toEqual(['node_modules/@biomejs/biome needs @biomejs/cli-darwin-arm64']);
});

test('the lock file matches package.json', () => {
  const { dependencies, devDependencies } = json('package.json') as Package;
  expect({ ...root?.dependencies, ...root?.devDependencies }).toEqual({
    ...dependencies,
    ...devDependencies,
  });
});

test('the lock file names no registry, and has the digest of every package', () => {
  const entries = Object.entries(packages);
  expect(entries.length).toBeGreaterThan(100);
  expect(entries.filter(([, { resolved }]) => resolved !== undefined).map(([path]) => path)).toEqual([]);
  expect(entries.filter(([, { integrity }]) => integrity === undefined).map(([path]) => path)).toEqual([]);
});
