import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { BadConfig } from '../../core/config/fault.js';
import { resolveConfig } from '../../core/config/resolve.js';
import { load } from '../../core/main.js';

interface Case {
  readonly file: string;
  readonly text: string;
  readonly beside?: Readonly<Record<string, string>>;
  /** The file with the fault, if it is another one. */
  readonly at?: string;
  readonly line?: number;
  readonly path: string;
  readonly says: string;
}

const CASES = parse(readFileSync(new URL('./broken.yaml', import.meta.url), 'utf8')) as Case[];

const root = mkdtempSync(join(tmpdir(), 'qmcp-broken-'));
afterAll(() => rmSync(root, { recursive: true }));

/** A qrexec client that reports if it was called. */
const client = join(root, 'qrexec-client-vm');
writeFileSync(client, `#!/bin/sh\ntouch '${root}/called'\nexit 126\n`);
chmodSync(client, 0o755);

const LAMP = `import { definePlugin, Type } from '${new URL('../../dist/core/api/index.js', import.meta.url).href}';
export default definePlugin({ id: 'lamp', apiVersion: 1, title: 'Lamp', services: [], tools: [],
  options: Type.Object({ brightness: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
    colour: Type.Optional(Type.Enum(['white', 'red'])) }, { additionalProperties: false }) });
`;

describe('a faulty configuration starts no server, and the message names file, line, path and the fix', () => {
  test('more than sixty faults of a configuration are tested', () => {
    expect(CASES.length).toBeGreaterThan(60);
  });

  test.each(CASES.map((each, index) => [index, each.file, each.text, each] as const))(
    '%i %s: %j',
    async (index, file, text, { beside = {}, at = file, line, path, says }) => {
      const folder = join(root, String(index));
      mkdirSync(folder);
      for (const [name, content] of Object.entries({ 'lamp.mjs': LAMP, ...beside, [file]: text }))
        writeFileSync(join(folder, name), content);
      // The start of `qmcp serve` before it answers anybody; cli/cli.test.ts shows it from outside.
      const starting = resolveConfig({ flags: { qrexec: { client } }, env: {}, directory: folder }).then(
        load,
      );
      const error = await starting.then(
        () => undefined,
        (reason: Error) => reason,
      );
      expect(error).toBeInstanceOf(BadConfig);
      const [first = ''] = error!.message.split('\n');
      expect(first).toContain(`${at}${line === undefined ? '' : `:${line}`}: `);
      expect(first).toContain(path === '' ? '' : `: ${path}: `);
      expect(first).toContain(says);
      expect(existsSync(join(root, 'called'))).toBe(false);
    },
  );
});
