/**
 * Makes pictures of every page of the operator's window, on a small and on a large screen, light and dark, for a person to look at.
 *
 *     npm run pictures -- FOLDER
 *
 * It needs the packages that test/support/screen.ts names.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ready } from './ready.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SIZES = ['1024x600', '1920x1080'];
const THEMES = { light: 'Adwaita', dark: 'Adwaita:dark' };
/** Milliseconds for a page to be drawn. */
const DRAWN = 700;
/** Scale and size: 200 %, on the screen for which that is meant. */
const LARGE = { name: 'scaled', size: '1920x1080', env: { GDK_SCALE: '2', GTK_THEME: 'Adwaita' } };

await ready();
const { python } = await import('../dist/sim/python.js');
const { startSimulatedHost } = await import('../dist/cli/host/simulated.js');
const folder = resolve(process.argv[2] ?? 'pictures');
mkdirSync(folder, { recursive: true });
const host = await startSimulatedHost({ world: 'demo', quiet: true });
// The command is shown as it is on a host.
const bin = join(host.dir, 'bin');
mkdirSync(bin);
writeFileSync(
  join(bin, 'qmcp-admin'),
  `#!/bin/sh\nexec ${python()} -B ${join(ROOT, 'dom0/operator/qmcp-admin')} "$@"\n`,
  { mode: 0o755 },
);
try {
  fill();
  for (const size of SIZES)
    for (const [name, theme] of Object.entries(THEMES))
      await pictures(`${size}-${name}`, size, { GTK_THEME: theme });
  await pictures(LARGE.name, LARGE.size, LARGE.env);
} finally {
  await host.stop();
}

/** A morning of an agent and its operator. */
function fill() {
  const call = (target, service, input = {}) =>
    spawnSync(host.client, [target, target === '@adminvm' ? service : `${service}+${target}`], {
      input: JSON.stringify(input),
    });
  const admin = (...words) => spawnSync(python(), [...adminWords(), ...words, '--yes']);
  for (const name of ['ai-build', 'ai-mail', 'ai-old', 'ai-web']) {
    call('@adminvm', 'qmcp.spawn.Create', { name, template: 'ai-debian' });
    call(name, 'qmcp.spawn.Start');
  }
  call('ai-old', 'qmcp.spawn.Shutdown');
  call('ai-old', 'qmcp.spawn.Remove');
  call('ai-missing', 'qmcp.spawn.Start');
  admin('enroll', 'vault', '--world', 'ai', '--tier', 'read', '--for', '2h');
  admin('guard', 'ai-web');
  admin('enroll', 'work', '--world', 'ai', '--tier', 'exec');
}

function adminWords() {
  return ['-B', join(ROOT, 'dom0/operator/qmcp-admin'), '--root', join(host.dir, 'dom0')];
}

async function pictures(name, size, env) {
  const [program, ...more] = [join(ROOT, 'dom0/window/qmcp-window'), '--root', join(host.dir, 'dom0')];
  const scale = Number(env.GDK_SCALE ?? 1);
  const fits = size.split('x').map((pixels) => Math.floor(Number(pixels) / scale));
  const window = [
    '/usr/bin/python3',
    '-B',
    program,
    ...more,
    '--admin',
    'qmcp-admin',
    '--size',
    fits.join('x'),
  ];
  const screen = ['/usr/bin/python3', '-B', join(ROOT, 'test/support/screen.py'), ...window];
  const child = spawn('xvfb-run', ['-a', '-s', `-screen 0 ${size}x24`, 'dbus-run-session', '--', ...screen], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, ...env },
  });
  const lines = createInterface({ input: child.stdout });
  child.once('exit', () => lines.close());
  const answers = lines[Symbol.asyncIterator]();
  const ask = async (request) => {
    child.stdin.write(`${JSON.stringify(request)}\n`);
    for await (const line of { [Symbol.asyncIterator]: () => ({ next: () => answers.next() }) })
      if (line.startsWith('=')) return JSON.parse(line.slice(1));
    throw new Error('the display is gone');
  };
  const pages = async () => (await ask({ do: 'look' })).filter(({ role }) => role === 'page tab');
  while ((await pages()).length === 0) await sleep(DRAWN);
  for (const [at, { name: label }] of (await pages()).entries()) {
    // The last one says what was found, so its name may have changed.
    const now = (await pages())[at]?.name ?? label;
    await ask({ do: 'choose', role: 'page tab', name: now });
    await sleep(at === 0 ? 5 * DRAWN : DRAWN);
    await ask({ do: 'picture', path: join(folder, `${name}-${at + 1}.png`) });
  }
  child.stdin.end();
  await once(child, 'exit');
}
