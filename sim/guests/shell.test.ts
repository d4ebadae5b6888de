import { expect, test } from 'vitest';
import { FOREVER } from '../../test/support/waiting.js';
import { MemoryEngine } from './memory.js';

const started = () => new MemoryEngine().start({ name: 'ai-one', template: null, class: 'AppVM' });
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');

test('a command that needs too much memory ends, and its qube runs on', async () => {
  const guest = await started();
  const { exit, aborted } = await guest.run({ command: 'x=a; while :; do x="$x$x"; done', user: 'user' });
  expect([exit === 0, aborted]).toEqual([false, false]);
  expect(text((await guest.run({ command: 'echo on', user: 'user' })).stdout)).toBe('on\n');
});

test('a busy loop in one qube holds up no other command, and ends with its qube', async () => {
  const guest = await started();
  const other = await started();
  const loop = guest.run({ command: 'while :; do :; done', user: 'user' });
  for (const one of [other, guest])
    expect(text((await one.run({ command: 'echo on', user: 'user' })).stdout)).toBe('on\n');
  await guest.stop();
  expect((await loop).aborted).toBe(true);
});

test('files that a killed command wrote stay, as on the disk of a qube', async () => {
  const guest = await started();
  const hangUp = new AbortController();
  await guest.run({
    command: 'echo kept > /home/user/note; echo written; while :; do :; done',
    user: 'user',
    signal: hangUp.signal,
    onOutput: () => hangUp.abort(),
  });
  expect(text((await guest.run({ command: 'cat /home/user/note', user: 'user' })).stdout)).toBe('kept\n');
});

test('a flood of output is taken piece by piece, and ends with its command', async () => {
  const guest = await started();
  const hangUp = new AbortController();
  let bytes = 0;
  await guest.run({
    command: 'while :; do printf %1000s a; done',
    user: 'user',
    signal: hangUp.signal,
    onOutput: (_stream, piece) => {
      bytes += piece.length;
      if (bytes > 1_000_000) hangUp.abort();
    },
  });
  // The command waits for each piece to be taken: none is on its way when it ends.
  expect(bytes).toBe(1_001_000);
});

test('a file in /usr/local/bin, or one that is removed, takes no other command from a template and its qubes', async () => {
  const templates: Record<string, string> = { app: 'tpl' };
  const engine = new MemoryEngine(undefined, (name) => templates[name] ?? null);
  const say = async (name: string, template: string | null, command: string) => {
    const guest = await engine.start({ name, template, class: template ? 'AppVM' : 'TemplateVM' });
    const { stdout } = await guest.run({ command, user: 'root' });
    await guest.stop();
    return text(stdout);
  };
  const tool = "printf '#!/bin/sh\\necho mine\\n' > /usr/local/bin/mine; chmod +x /usr/local/bin/mine";
  expect(await say('tpl', null, `${tool}; rm /usr/bin/tac; mine; echo on | cat`)).toBe('mine\non\n');
  for (const [name, template] of [
    ['tpl', null],
    ['app', 'tpl'],
  ] as const)
    expect(
      await say(name, template, 'mine; echo on | cat; ls /usr/local/bin; tac < /dev/null || echo gone'),
    ).toBe('mine\non\nmine\ngone\n');
  expect(await say('tpl', null, 'rm -r /usr/bin; echo on; mkdir -p /usr/bin')).toBe('on\n');
});

test('a disk has an end: what does not fit is not written, and room that is given back is room again', async () => {
  const engine = new MemoryEngine(undefined, () => null, {}, 1 << 20);
  const guest = await engine.start({ name: 'ai-one', template: null, class: 'AppVM' });
  const { stdout, stderr } = await guest.run({
    command:
      'cd /tmp; head -c 65536 /dev/zero > one; for n in 1 2 3 4 5 6 7 8 9 a b c d e f g h; do cat one >> all; done; wc -c < all; rm all; echo on > f; cat f',
    user: 'user',
  });
  expect(text(stdout)).toBe(`${14 << 16}\non\n`);
  expect(text(stderr)).toContain('no space left on device');
});

test('a bomb of processes ends at a bound, and its qube answers on', async () => {
  const guest = await started();
  const { stderr } = await guest.run({
    command: `i=0; while [ $i -lt 40 ]; do ${FOREVER} & i=$((i+1)); done`,
    user: 'user',
  });
  expect(text(stderr)).toContain('Cannot fork');
  expect(
    text(
      (await guest.run({ command: 'kill $(ps | grep -v PID | cut -c1-7) ; echo on', user: 'user' })).stdout,
    ),
  ).toBe('');
  expect(text((await guest.run({ command: 'echo on', user: 'user' })).stdout)).toBe('on\n');
  await guest.stop();
});

test('a job that its command left behind ends with its qube, and no other qube sees it', async () => {
  const [guest, other] = [await started(), await started()];
  await guest.run({ command: `${FOREVER} &`, user: 'user' });
  const listed = async (one: typeof guest) =>
    text((await one.run({ command: `ps aux | grep -c "${FOREVER}$"`, user: 'user' })).stdout);
  expect([await listed(guest), await listed(other)]).toEqual(['1\n', '0\n']);
  await guest.stop();
});
