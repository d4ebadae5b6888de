import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { python, startPython } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';
import { run, runPython } from '../../testing/run.js';

const folder = mkdtempSync(join(tmpdir(), 'qmcp-'));
const variables = Object.entries(process.env).filter(([name]) => name.startsWith('PYTHON'));
beforeAll(() => {
  // These variables mean nothing to a forked program.
  for (const [name] of variables) delete process.env[name];
});
afterAll(() => {
  Object.assign(process.env, Object.fromEntries(variables));
  rmSync(folder, { recursive: true });
});

let scripts = 0;
/** A folder for a script and the modules that it imports. */
function script(text: string, beside: Record<string, string> = {}): string {
  const place = join(folder, String(scripts++));
  mkdirSync(place);
  for (const [name, content] of Object.entries({ ...beside, 'script.py': text }))
    writeFileSync(join(place, name), content);
  return join(place, 'script.py');
}

const ADMIN = packageFile('dom0/operator/qmcp-admin');
const INSTALLER = packageFile('dom0/packaging/qmcp-dom0');

describe('a forked Python program', () => {
  const same = async (words: readonly string[], stdin = '') => {
    const started = await run(python(), words, stdin);
    expect(await runPython(words, stdin)).toEqual(started);
    return started;
  };

  it('a forked Python program gets its arguments and standard input, and writes to both outputs', async () => {
    const text = 'import sys; print(sys.argv, sys.stdin.read()); print(__name__, file=sys.stderr)';
    const { out, err } = await same(['-B', script(text), 'a', '--b', 'ä'], 'said\n');
    expect(out).toContain("'a', '--b', 'ä'] said\n");
    expect(err).toBe('__main__\n');
  });

  it('a forked Python program reads and writes more than a buffer holds', async () => {
    const text = 'import sys; sys.stdout.write(sys.stdin.read() * 3); sys.stderr.write("e" * 300_000)';
    const { out } = await same(['-B', script(text)], 'x'.repeat(300_000));
    expect(out.length).toBe(900_000);
  });

  it.each([
    ['it exits with a code', 'import sys; sys.exit(7)', 7],
    ['it exits with a message', 'import sys; print("said"); sys.exit("wrong")', 1],
    ['it exits without a value', 'import sys; sys.exit()', 0],
    ['a signal ends it', 'import os, signal; os.kill(os.getpid(), signal.SIGTERM)', null],
    ['it ends immediately', 'import os; print("unsaid"); os._exit(3)', 3],
    ['its output is closed', 'import os, sys; print("x"); os.close(1)', 120],
  ])('a forked Python program ends like a started one: %s', async (_what, text, code) => {
    expect((await same(['-B', script(text)])).code).toBe(code);
  });

  it('a forked Python program reports an exception that nobody caught', async () => {
    const file = script('def f():\n    return 1 / 0\nf()\n');
    const { code, err } = await runPython(['-B', file]);
    expect(code).toBe(1);
    expect(err).toMatch(/^Traceback \(most recent call last\):\n/);
    expect(err).toContain(`File "${file}", line 2, in f\n`);
    expect(err).toMatch(/\nZeroDivisionError: division by zero\n$/);
  });

  it('a forked Python program imports the modules beside it, or none of them if it is isolated', async () => {
    const file = script(
      'import sys\ntry:\n    import beside\nexcept ImportError as e:\n    print(e)\nelse:\n    print(beside.x)\n',
      { 'beside.py': 'x = 5\n' },
    );
    expect((await same(['-B', file])).out).toBe('5\n');
    expect((await same(['-IB', file])).out).toBe("No module named 'beside'\n");
  });

  it('a forked Python program sees no module of dom0, although they are loaded', async () => {
    const text = `import sys\nfor name in ('qmcpd', 'verbs', 'bundle', 'settings'):\n    print(name in sys.modules)\n    try:\n        __import__(name)\n    except ImportError as e:\n        print(e)\n`;
    expect((await same(['-B', script(text)])).out).not.toContain('True');
  });

  it('a forked Python program has the usual signal handlers, and none of our descriptors', async () => {
    const signals = script('import signal; print([signal.getsignal(one) for one in signal.valid_signals()])');
    await same(['-B', signals]);
    const descriptors = script('import os; print(os.listdir("/proc/self/fd"))');
    // The fourth is that of the folder it lists.
    expect((await runPython(['-B', descriptors])).out).toBe("['0', '1', '2', '3']\n");
  });

  it('a forked Python program has the environment and the folder that it is given', async () => {
    process.env.QMCP_TEST = 'told';
    await same(['-B', script('import os; print(os.environ["QMCP_TEST"], os.getcwd())')]);
    delete process.env.QMCP_TEST;
    const place = script('');
    const child = startPython(['-B', script('import os; print(os.getcwd())')], {
      cwd: join(place, '..'),
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let out = '';
    child.stdout!.on('data', (text) => {
      out += text;
    });
    await new Promise((resolve) => child.once('close', resolve));
    expect(out).toBe(`${join(place, '..')}\n`);
  });

  it('a forked Python program starts other Python programs', async () => {
    const started = script(
      `import os, signal, sys
print(sys.argv[1], sys.stdin.read(), os.environ)
print('wrong', file=sys.stderr)
sys.exit(3) if sys.argv[1] == 'ends' else os.kill(os.getpid(), signal.SIGKILL)`,
    );
    const starts = `import subprocess, sys
for word in ('ends', 'dies'):
    words = [sys.executable, '-B', '-E', '-s', ${JSON.stringify(started)}, word]
    print(subprocess.run(words, input=b'in', capture_output=True, env={'ONLY': 'this'}).returncode)
    print(subprocess.run(words, input=b'in', capture_output=True, env={'ONLY': 'this'}).stdout[:20])`;
    const { out } = await same(['-B', script(starts)]);
    expect(out).toMatch(/^3\nb"ends in .*\n-9\n/);
  });

  it('the operator’s command and the installer run in forks with their code loaded', async () => {
    for (const words of [['--help'], ['no-such-verb'], ['--root', folder, 'audit', 'tail']])
      expect((await same(['-B', ADMIN, ...words])).out + words).not.toBe('');
    for (const words of [['--help'], ['--root', folder, 'uninstall']])
      await same(['-IB', INSTALLER, ...words]);
  });
});

it('a forked Python program is killed on request', async () => {
  const child = startPython(['-B', script('import sys, time\nprint("up", flush=True)\ntime.sleep(3600)')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await new Promise((resolve) => child.stdout!.once('data', resolve));
  const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve([code, signal])));
  expect(child.kill('SIGKILL')).toBe(true);
  expect(await ended).toEqual([null, 'SIGKILL']);
  expect(child.kill()).toBe(false);
});
