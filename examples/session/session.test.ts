import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const SCRIPT = fileURLToPath(new URL('session.mjs', import.meta.url));

test('an agent’s working day ends as it should, and every claim on the way holds', async () => {
  const child = spawn(process.execPath, [SCRIPT], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk;
    });
  const code = await new Promise((resolve) => child.once('close', resolve));
  expect([code, said]).toEqual([0, expect.stringContaining('✓ everything was as it should be')]);
  expect(said).not.toContain('✗');
  expect(said.match(/✓/g)!.length).toBeGreaterThan(14);
  const scenes = [...said.matchAll(/^(\d)\. (\w+)/gm)].map(([, number, word]) => `${number} ${word}`);
  expect(scenes).toEqual([
    ...['1 Install', '2 Clone', '3 Copy', '4 Watch', '5 Run', '6 Narrow', '7 Attach', '8 Remove'],
  ]);
});
