import { expect, test } from 'vitest';
import { modulesBelow, targetOf } from './modules.js';

type Graph = ReadonlyMap<string, readonly string[]>;

/** Every group of files that import each other (Tarjan's strongly connected components of more than one file). */
function circles(graph: Graph): string[][] {
  const found: string[][] = [];
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const visit = (node: string) => {
    index.set(node, index.size);
    low.set(node, index.get(node)!);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) visit(next);
      if (stack.includes(next)) low.set(node, Math.min(low.get(node)!, low.get(next)!));
    }
    if (low.get(node) !== index.get(node)) return;
    const circle = stack.splice(stack.indexOf(node));
    if (circle.length > 1) found.push(circle.sort());
  };
  for (const node of graph.keys()) if (!index.has(node)) visit(node);
  return found;
}

test('no files of the repository import each other in a circle, types included', () => {
  const folders = [
    'core',
    'plugins',
    'model',
    'sim',
    'testing',
    'cli',
    'test',
    'bench',
    'examples',
    'scripts',
  ];
  const modules = modulesBelow(folders, /\.(ts|mjs|js)$/);
  expect(modules.length).toBeGreaterThan(400);
  const graph = new Map(
    modules.map(({ path, imports }) => [
      path,
      [...new Set(imports.flatMap((each) => targetOf(path, each) ?? []))].filter((each) => each !== path),
    ]),
  );
  expect(circles(graph)).toEqual([]);
});

test('a circle of imports is found wherever it starts, and a diamond is not a circle', () => {
  const circle: Graph = new Map([
    ['a', ['b']],
    ['b', ['c', 'd']],
    ['c', ['b']],
    ['d', []],
  ]);
  expect(circles(circle)).toEqual([['b', 'c']]);
  const diamond: Graph = new Map([
    ['a', ['b', 'c']],
    ['b', ['d']],
    ['c', ['d']],
    ['d', []],
  ]);
  expect(circles(diamond)).toEqual([]);
});

test('a circle of type imports, or of dynamic imports, is found', () => {
  const [door] = modulesBelow(['core']).filter(({ path }) => path === 'core/main.ts');
  expect(door!.imports).toContain('./composition.js');
  expect(door!.imports).toContain('./ports/qrexec.js');
  expect(targetOf(door!.path, './composition.js')).toBe('core/composition.ts');
});
