import { isBuiltin } from 'node:module';
import { dirname, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Module, modulesBelow, ROOT } from './modules.js';

/** The imports that each layer may have: the table of docs/architecture.md, section 4. A layer may always import itself. */
const LAYERS: readonly {
  readonly layer: string;
  readonly files: RegExp;
  readonly looksAt: readonly string[];
  /** Packages and Node built-ins. `null` means any built-in. */
  readonly packages: readonly RegExp[];
}[] = [
  // The libraries that the build bundles into one file each: only these files import them, so that there is one copy.
  {
    layer: 'core/vendor/typebox.ts',
    files: /^core\/vendor\/typebox\.ts$/,
    looksAt: [],
    packages: [/^typebox(\/schema)?$/],
  },
  {
    layer: 'core/vendor/tsyringe.ts',
    files: /^core\/vendor\/tsyringe\.ts$/,
    looksAt: [],
    packages: [/^tsyringe$/, /^reflect-metadata$/],
  },
  {
    layer: 'core/vendor/commander.ts',
    files: /^core\/vendor\/commander\.ts$/,
    looksAt: [],
    packages: [/^commander$/],
  },
  {
    layer: 'core/vendor/jose.ts',
    files: /^core\/vendor\/jose\.ts$/,
    looksAt: [],
    packages: [/^jose$/],
  },
  {
    layer: 'core/vendor/mcp.ts',
    files: /^core\/vendor\/mcp(-http)?\.ts$/,
    looksAt: [],
    packages: [/^@modelcontextprotocol\/(server(\/stdio)?|node)$/],
  },
  {
    layer: 'core/api',
    files: /^core\/api\//,
    looksAt: ['core/vendor/typebox.ts', 'core/vendor/tsyringe.ts'],
    packages: [],
  },
  {
    layer: 'core/ports',
    files: /^core\/ports\//,
    looksAt: ['core/api', 'core/vendor/typebox.ts'],
    packages: [/^node:(async_hooks|child_process|net)$/],
  },
  {
    layer: 'core/serve',
    files: /^core\/serve\//,
    looksAt: ['core/api', 'core/ports', 'core/vendor/typebox.ts', 'core/vendor/tsyringe.ts'],
    packages: [],
  },
  {
    layer: 'core/boot',
    files: /^core\/boot\//,
    looksAt: ['core/api', 'core/ports', 'core/serve', 'core/vendor/typebox.ts'],
    packages: [/^canonicalize$/, /^node:(crypto|module|path|url)$/],
  },
  {
    layer: 'core/config',
    files: /^core\/config\//,
    looksAt: ['core/api', 'core/vendor/typebox.ts'],
    packages: [/^cosmiconfig$/, /^smol-toml$/, /^yaml$/, /^node:(fs(\/promises)?|module|path|url)$/],
  },
  {
    layer: 'core/mcp',
    files: /^core\/mcp\//,
    looksAt: ['core/api', 'core/serve', 'core/vendor/mcp.ts', 'core/vendor/jose.ts'],
    packages: [/^node:(stream|crypto|https?|net)$/],
  },
  {
    layer: 'core/pin',
    files: /^core\/pin\//,
    looksAt: ['core/api', 'core/serve', 'core/vendor/typebox.ts'],
    packages: [/^node:(crypto|fs(\/promises)?|module|path)$/],
  },
  {
    // The composition root, its process, and the functions for the command line.
    layer: 'core/main.ts',
    files: /^core\/(main|composition|process|trace|version)\.ts$/,
    looksAt: [
      'core/api',
      'core/boot',
      'core/config',
      'core/mcp',
      'core/pin',
      'core/ports',
      'core/serve',
      'plugins',
    ],
    packages: [/^node:(fs|path)$/],
  },
  {
    layer: 'plugins',
    files: /^plugins\//,
    looksAt: ['core/api'],
    packages: [],
  },
  // The interpreter that stands for dom0's: found in one place, for every caller.
  {
    layer: 'sim/python.ts',
    files: /^sim\/python\.ts$/,
    looksAt: [],
    packages: [/^node:child_process$/],
  },
  {
    layer: 'sim',
    files: /^sim\//,
    looksAt: ['core/api', 'core/vendor/typebox.ts', 'sim/python.ts'],
    packages: [/^node:/, /^just-bash$/, /^smol-toml$/],
  },
  {
    layer: 'cli/generate',
    files: /^cli\/generate\//,
    // It generates files from what core defines: contracts, the shape of the configuration, every message.
    looksAt: [
      'core/api',
      'core/boot',
      'core/serve',
      'core/config',
      'core/vendor/commander.ts',
      'plugins',
      'cli',
      'sim/python.ts',
    ],
    packages: [/^node:/, /^smol-toml$/, /^yaml$/],
  },
  {
    layer: 'cli',
    files: /^cli\//,
    looksAt: [
      'core/main.ts',
      'core/api',
      'core/boot',
      'core/serve',
      'core/config',
      'core/pin',
      'core/vendor/commander.ts',
      'plugins',
      'sim/python.ts',
    ],
    packages: [/^node:/, /^diff$/, /^smol-toml$/, /^yaml$/, /^@modelcontextprotocol\/client(\/stdio)?$/],
  },
  {
    // The judge of the invariants, for testing and tests. Nothing in a control qube needs it.
    layer: 'model',
    files: /^model\//,
    looksAt: ['core/api'],
    packages: [],
  },
  {
    layer: 'testing',
    files: /^testing\//,
    // A complete host for tests of third-party plugins: the server, and the host it is served against.
    looksAt: ['core/api', 'core/boot', 'core/ports', 'core/mcp', 'plugins', 'model', 'sim', 'sim/python.ts'],
    packages: [/^node:/, /^smol-toml$/, /^@modelcontextprotocol\/client$/],
  },
  {
    layer: 'bench',
    files: /^bench\//,
    looksAt: ['sim', 'sim/python.ts'],
    // The bare server for comparison.
    packages: [/^node:/, /^@modelcontextprotocol\/server(\/stdio)?$/],
  },
];

const modules = modulesBelow(
  ['core', 'plugins', 'model', 'sim', 'testing', 'cli', 'bench'],
  /(?<!\.test)\.ts$/,
);

const layerOf = (path: string) => LAYERS.find(({ files }) => files.test(path));

/** Why a module may not import this, or undefined when it may. */
function objection({ path }: Module, specifier: string): string | undefined {
  const from = layerOf(path);
  if (from === undefined) return 'the file is in no layer';
  if (!specifier.startsWith('.')) {
    const name = isBuiltin(specifier) && !specifier.startsWith('node:') ? `node:${specifier}` : specifier;
    const bare = name.replace(/\/dist\/.*$/, '');
    return from.packages.some((pattern) => pattern.test(bare)) ? undefined : `not a package of ${from.layer}`;
  }
  const target = relative(ROOT, resolve(ROOT, dirname(path), specifier));
  const to = layerOf(target.replace(/\.js$/, '.ts'));
  if (to === undefined) return `${target} is in no layer`;
  if (from.layer === 'plugins' && to.layer === 'plugins' && path !== 'plugins/index.ts') {
    const [own, other] = [path, target].map((each) => each.split('/')[1]);
    return own === other ? undefined : 'another plugin';
  }
  return to === from || from.looksAt.includes(to.layer)
    ? undefined
    : `${from.layer} does not look at ${to.layer}`;
}

describe('the layers of the architecture', () => {
  test('every module belongs to a layer', () => {
    expect(modules.length).toBeGreaterThan(40);
    expect(modules.map(({ path }) => path).filter((path) => layerOf(path) === undefined)).toEqual([]);
  });

  test('every module imports only what the table allows its layer', () => {
    const wrong = modules.flatMap((module) =>
      module.imports.flatMap((specifier) => {
        const why = objection(module, specifier);
        return why === undefined ? [] : [`${module.path} imports ${specifier}: ${why}`];
      }),
    );
    expect(wrong).toEqual([]);
  });

  test.each([
    ['plugins/spawn/plugin.ts', 'node:fs'],
    ['plugins/spawn/plugin.ts', 'fs'],
    ['plugins/spawn/plugin.ts', '../exec/services.js'],
    ['plugins/spawn/plugin.ts', '../../core/boot/boot.js'],
    ['plugins/spawn/plugin.ts', '@modelcontextprotocol/server'],
    ['core/boot/boot.ts', '@modelcontextprotocol/server'],
    ['core/boot/boot.ts', 'node:child_process'],
    ['core/boot/boot.ts', '../vendor/mcp.js'],
    ['core/serve/tools.ts', 'typebox/schema'],
    ['core/api/index.ts', 'tsyringe'],
    ['core/mcp/server.ts', '../boot/boot.js'],
    ['core/ports/client.ts', '../main.js'],
    ['core/api/index.ts', '../boot/boot.js'],
    ['sim/index.ts', '../core/main.js'],
    ['sim/index.ts', '../model/snapshot.js'],
    ['plugins/spawn/plugin.ts', '../../model/invariants.js'],
    ['core/boot/handshake.ts', '../../model/invariants.js'],
    ['cli/commands/explain.ts', '../../model/invariants.js'],
    ['cli/commands/serve.ts', '../../sim/index.js'],
    ['cli/commands/serve.ts', '@modelcontextprotocol/server'],
  ])('the check of the layers fails if %s imports %s', (path, specifier) => {
    expect(objection({ path, source: '', imports: [] }, specifier)).toBeDefined();
  });
});

describe('the edges of the architecture', () => {
  const mentions = (pattern: RegExp, files: RegExp) =>
    modules
      .filter(({ path, source }) => files.test(path) && pattern.test(withoutComments(source)))
      .map(({ path }) => path);

  test('only core/process.ts reads process, in core and the plugins', () => {
    expect(mentions(/\bprocess\b\s*[.[](?!js\b)/, /^(core|plugins)\//)).toEqual(['core/process.ts']);
    expect(mentions(/globalThis\b/, /^(core|plugins)\//)).toEqual([]);
  });

  test('nothing in core or the plugins knows that a host can be simulated', () => {
    expect(mentions(/\bsim\b|simulat/i, /^(core|plugins)\//)).toEqual([]);
  });

  test('only core/ports starts processes or calls out, and only the MCP surface listens, in core and the plugins', () => {
    const importers = modules
      .filter(({ path }) => /^(core|plugins)\//.test(path))
      .filter(({ imports }) =>
        imports.some((each) => /^(node:)?(child_process|net|http|https|dgram|tls)$/.test(each)),
      )
      .map(({ path }) => path);
    expect(importers).toEqual(['core/mcp/http.ts', 'core/ports/client.ts']);
  });
});

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}
