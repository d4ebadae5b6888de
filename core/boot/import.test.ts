import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { pluginOf } from '../../test/support/plugins.js';
import { gate, turn } from '../../test/support/waiting.js';
import { findPlugins } from './import.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'qmcp-load-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function put(path: string, text: string): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}
const found = async (...names: string[]) => {
  const { candidates, problems } = await findPlugins({
    names,
    builtIn: [pluginOf('ours')],
    folder,
    seconds: 600,
  });
  return {
    ids: candidates.map(({ plugin }) => (plugin as { id?: unknown } | undefined)?.id),
    problems: problems.map(({ code, plugin, message }) => ({ code, plugin, message })),
  };
};
const good = (id: string) => `export default { id: '${id}' };`;

/** The time a module has to be imported is up as soon as one of them says that it hangs; `reject` is what it hangs on. */
function hanging() {
  const reached = { ...gate(), reject: (_: Error) => {} };
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  (globalThis as Record<string, unknown>).hangs = (reject: (error: Error) => void) => {
    reached.reject = reject;
    reached.open();
  };
  onTestFinished(() => {
    vi.useRealTimers();
    delete (globalThis as Record<string, unknown>).hangs;
  });
  return {
    ...reached,
    timeIsUp: () => reached.opened.then(() => vi.advanceTimersByTime(600_000)),
    fail: (error: Error) => reached.reject(error),
  };
}
const HANGS = 'await new Promise((_, reject) => globalThis.hangs(reject));';

describe('a plugin named in a configuration', () => {
  test("a plugin can be named by built-in id, file, folder, or package as resolved from the configuration's folder", async () => {
    const file = put('one.mjs', good('one'));
    put('two/package.json', '{"type":"module","main":"./dist/index.js"}');
    put('two/dist/index.js', good('two'));
    put(
      'node_modules/three/package.json',
      '{"name":"three","type":"module","exports":{".":{"types":"./x.d.ts","default":"./x.js"}}}',
    );
    put('node_modules/three/x.js', good('three'));
    put(
      'node_modules/@me/four/package.json',
      '{"name":"@me/four","type":"module","exports":{"default":"./x.js"}}',
    );
    put('node_modules/@me/four/x.js', good('four'));
    expect(await found('ours', file, join(folder, 'two'), 'three', '@me/four')).toEqual({
      ids: ['ours', 'one', 'two', 'three', 'four'],
      problems: [],
    });
  });

  test.each([
    ['does not exist', undefined, /Cannot find/],
    ['throws while it is imported', 'throw new Error("boom\\nat line 3");', /threw Error: boom\./],
    ['throws a value that is not an error', 'throw null;', /threw null/],
    ['cannot be parsed', 'export default {', /threw \w*Error/],
    ['never finishes its import', HANGS, /did not finish within 600 s/],
    ['imports a missing package', 'import "no-such-package";', /no-such-package.*built first/],
  ])('a plugin that %s is reported, and the other plugins load', async (_what, text, why) => {
    const bad = join(folder, 'bad.mjs');
    if (text !== undefined) put('bad.mjs', text);
    if (text === HANGS) hanging().timeIsUp();
    const { ids, problems } = await found(put('a.mjs', good('a')), bad, put('b.mjs', good('b')));
    expect(ids).toEqual(['a', 'b']);
    expect(problems).toEqual([
      { code: 'plugin-not-found', plugin: bad, message: expect.stringMatching(why) },
    ]);
  });

  test('a plugin that rejects a promise nobody handles does not disturb the others', async () => {
    const unheard: unknown[] = [];
    const hear = (error: unknown) => unheard.push(error);
    process.on('unhandledRejection', hear);
    onTestFinished(() => {
      process.off('unhandledRejection', hear);
    });
    const late = hanging();
    late.timeIsUp();
    const { problems } = await found(put('late.mjs', HANGS));
    expect(problems).toMatchObject([{ code: 'plugin-not-found' }]);
    // It fails after it was given up.
    late.fail(new Error('late'));
    await turn();
    expect(unheard).toEqual([]);
  });

  test.each([
    ['adds a property to every object', 'Object.prototype.admin = true;', /Object\.prototype\.admin/],
    ['replaces a method that others call', 'Array.prototype.map = () => [];', /Array\.prototype\.map/],
    ['deletes a method', 'delete String.prototype.startsWith;', /String\.prototype\.startsWith/],
    ['replaces JSON.stringify', 'JSON.stringify = () => "{}";', /JSON\.stringify/],
    [
      'defines a getter on every object',
      'Object.defineProperty(Object.prototype, "then", { get() { return 1; }, configurable: true });',
      /Object\.prototype\.then/,
    ],
    [
      'replaces the iterator of arrays',
      'Array.prototype[Symbol.iterator] = () => ({});',
      /Symbol\(Symbol\.iterator\)/,
    ],
  ])('a plugin that %s is left out, and its change is undone', async (_what, text, named) => {
    const before = [
      Array.prototype.map,
      String.prototype.startsWith,
      JSON.stringify,
      Array.prototype[Symbol.iterator],
    ];
    const bad = put('bad.mjs', `${text}\n${good('bad')}`);
    const { ids, problems } = await found(bad, put('b.mjs', good('b')));
    expect(ids).toEqual(['b']);
    expect(problems).toEqual([
      { code: 'plugin-changes-builtins', plugin: bad, message: expect.stringMatching(named) },
    ]);
    expect([
      Array.prototype.map,
      String.prototype.startsWith,
      JSON.stringify,
      Array.prototype[Symbol.iterator],
    ]).toEqual(before);
    expect('admin' in {} || 'then' in {}).toBe(false);
  });
});
