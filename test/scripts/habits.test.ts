import { describe, expect, test, vi } from 'vitest';
import { packageFile } from '../../sim/root.js';

// The scripts are not compiled, because they run before anything is.
const { findTests, patternOf, suggestions } = await import(packageFile('scripts/one.mjs'));
const { batches, planFor } = await import(packageFile('scripts/watch.mjs'));
const { byFolder, table } = await import(packageFile('scripts/coverage.mjs'));

describe('npm run test:one', () => {
  test('a part of a file name finds the whole file, in TypeScript and in Python', async () => {
    const { files, pythonFiles } = await findTests('messages');
    expect(files).toEqual([]);
    expect(pythonFiles).toEqual(['dom0/tests/test_messages.py']);
    expect((await findTests('Repetition')).files).toEqual(['test/architecture/repetition.test.ts']);
  });

  test('a part of a title finds the test, in TypeScript and in Python', async () => {
    expect((await findTests('Part of a TITLE finds the test')).titles).toEqual([
      {
        file: 'test/scripts/habits.test.ts',
        text: 'a part of a title finds the test, in TypeScript and in Python',
        isTitle: true,
      },
    ]);
    const { pythonTests } = await findTests('at most as many statements');
    expect(pythonTests.map(({ name }: { name: string }) => name)).toEqual([
      'tests.test_size.Size.test_each_part_of_dom0_has_at_most_as_many_statements_as_its_bound',
    ]);
  });

  test('the name of a case in a table finds its test', async () => {
    const { titles } = await findTests('an exit code is a result');
    expect(titles).toContainEqual({
      file: 'sim/guests/behaviour.test.ts',
      text: 'an exit code is a result',
      isTitle: false,
    });
  });

  test('a text that no test has finds nothing, and the nearest file names are suggested', async () => {
    const text = ['ne', 'twrok'].join('');
    const { files, titles, pythonFiles, pythonTests, all } = await findTests(text);
    expect([files, titles, pythonFiles, pythonTests]).toEqual([[], [], [], []]);
    expect(suggestions(text, all)[0]).toBe('sim/network/network.test.ts');
    expect(suggestions('zzqqxx', all)).toEqual([]);
  });

  test('the pattern for vitest matches titles literally, and any value in place of a placeholder', () => {
    const pattern = new RegExp(patternOf(['a (b) %s', 'c.d']));
    expect(['a (b) 7', 'c.d', 'a b 7', 'cxd'].map((title) => pattern.test(title))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

describe('npm run watch', () => {
  test('a change of TypeScript is compiled, and other changes name the command for them', () => {
    expect(planFor(new Set(['core/main.ts', 'plugins/spawn/services.ts', 'sim/worlds/demo.json']))).toEqual({
      sources: ['core/main.ts', 'plugins/spawn/services.ts'],
      hints: [expect.stringContaining('npm run generate')],
    });
    expect(planFor(new Set(['dom0/qmcpd/kernel.py']))).toEqual({
      sources: [],
      hints: [expect.stringContaining('npm run test:one')],
    });
    expect(planFor(new Set(['dom0/spec/limits.toml'])).hints).toEqual([
      expect.stringContaining('npm run generate'),
    ]);
  });

  test('changes in quick succession are handled once, and changes meanwhile afterwards', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const handled: string[][] = [];
    let finish = () => {};
    const changed = batches((files: Set<string>) => {
      handled.push([...files]);
      return new Promise<void>((resolve) => {
        finish = resolve;
      });
    });
    for (const file of ['a', 'b', 'a']) changed(file);
    await vi.advanceTimersByTimeAsync(1000);
    expect(handled).toEqual([['a', 'b']]);
    changed('c');
    await vi.advanceTimersByTimeAsync(1000);
    expect(handled).toEqual([['a', 'b']]);
    finish();
    await vi.advanceTimersByTimeAsync(0);
    expect(handled).toEqual([['a', 'b'], ['c']]);
    vi.useRealTimers();
  });
});

describe('npm run coverage', () => {
  const files = {
    'core/boot/a.ts': { executed: 9, lines: 10 },
    'core/boot/b.ts': { executed: 0, lines: 2 },
    'core/api/types.ts': { executed: 0, lines: 0 },
  };

  test('the report adds files up to folders and prints a table with the sum', () => {
    expect(table(byFolder(files))).toBe('core/boot   75.0 %  9 of 12\nall         75.0 %  9 of 12\n');
    expect(table(files)).toContain('core/boot/b.ts    0.0 %  0 of 2\n');
    expect(table({})).toBe('all      - %  0 of 0\n');
  });
});
