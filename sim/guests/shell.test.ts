import { expect, test } from 'vitest';
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
