/** The source files of the repository and their imports, read from the syntax: types, re-exports and dynamic imports included. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

export interface Module {
  /** Relative to the root of the repository. */
  readonly path: string;
  readonly source: string;
  /** As written in the source. */
  readonly imports: readonly string[];
}

/** Every source file below these folders, except built and installed ones. */
export function modulesBelow(folders: readonly string[], wanted = /\.ts$/): Module[] {
  return folders
    .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && wanted.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !/(^|\/)(node_modules|dist)\//.test(path))
    .sort()
    .map(moduleAt);
}

function moduleAt(path: string): Module {
  const source = readFileSync(join(ROOT, path), 'utf8');
  const { module, program, errors } = parseSync(path, source);
  if (errors.length > 0) throw new Error(`${path}: ${errors[0]!.message}`);
  const dynamic = module.dynamicImports
    .map(({ moduleRequest }) => source.slice(moduleRequest.start, moduleRequest.end))
    .filter((text) => /^['"]/.test(text))
    .map((text) => text.slice(1, -1));
  const required = [...source.matchAll(/createRequire\([^)]*\)\('([^']+)'\)/g)].map((match) => match[1]!);
  const reexported = module.staticExports.flatMap(({ entries }) =>
    entries.flatMap(({ moduleRequest }) => (moduleRequest ? [moduleRequest.value] : [])),
  );
  const stated = module.staticImports.map(({ moduleRequest }) => moduleRequest.value);
  return {
    path,
    source,
    imports: [...stated, ...reexported, ...dynamic, ...required, ...typeImports(program)],
  };
}

/** `import('./x.js').T` and `typeof import('./x.js')`, wherever they stand. */
function* typeImports(node: unknown): Generator<string> {
  if (Array.isArray(node)) for (const each of node) yield* typeImports(each);
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return;
  const { type, source } = node as { type?: string; source?: { value?: unknown } };
  if (type === 'TSImportType' && typeof source?.value === 'string') yield source.value;
  for (const each of Object.values(node)) if (typeof each === 'object') yield* typeImports(each);
}

/** The source file of a relative import; undefined for a package, and for files that are not sources. */
export function targetOf(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  const path = relative(ROOT, resolve(ROOT, dirname(from), specifier)).replace(/^dist\//, '');
  const candidates = [path.replace(/\.js$/, '.ts'), path];
  return candidates.find((each) => /\.(ts|mjs|js)$/.test(each) && existsSync(join(ROOT, each)));
}
