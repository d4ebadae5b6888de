/** The name `qmcp` is not ours in the public registries: whoever runs it from there runs a stranger's code. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { packageFile } from '../../sim/root.js';

/** A runner that fetches what is not installed, and a name after it. */
const FETCHES =
  /\b(?:npx|npm exec|pnpm dlx|yarn dlx|bunx)(?! --no-install| --no\b)(?:"\s*,\s*"args":\s*\["|\s+)(?:-y\s+|--yes\s+)?(@?[a-z][\w./@-]*)/g;
const FILES = /\.(?:md|ts|mjs|js|tmpl|ya?ml|json|sh)$/;

const fetched = (text: string): string[] => [...text.matchAll(FETCHES)].map(([, name]) => name!);

test('nothing that we print or document runs a bare name out of a public registry', () => {
  const { stdout } = spawnSync('git', ['ls-files'], { cwd: packageFile('.'), encoding: 'utf8' });
  const files = stdout.split('\n').filter((name) => FILES.test(name) && name !== 'CHANGELOG.md');
  expect(files.length).toBeGreaterThan(400);
  const found = files
    .filter((name) => !name.startsWith('test/docs/registry'))
    .flatMap((name) => fetched(readFileSync(packageFile(name), 'utf8')).map((what) => `${name}: ${what}`));
  expect(found).toEqual([]);
});

test('a bare name is found in a shell line, with a flag, and in the configuration of a client', () => {
  expect(fetched('npx qmcp serve')).toEqual(['qmcp']);
  expect(fetched('npx -y qmcp@latest')).toEqual(['qmcp@latest']);
  expect(fetched('{ "command": "npx", "args": ["qmcp", "serve"] }')).toEqual(['qmcp']);
  expect(fetched('npx --no-install qmcp serve')).toEqual([]);
});
