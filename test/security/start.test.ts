import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Harness } from '../support/harness.js';

const startWith = (prepare: (root: string) => void) => Harness.start({ prepare });

const edit = (path: string, change: (text: string) => string) =>
  writeFileSync(path, change(readFileSync(path, 'utf8')));

// ATTACK 16
describe('qmcpd does not start', () => {
  const config = (root: string) => join(root, 'etc/qmcp/qmcp.toml');
  for (const [what, change, message] of [
    [
      'that is not TOML',
      (text: string) => text.replace('prefix = "ai-"', 'prefix = ai-'),
      /qmcp\.toml: Invalid value \(at line 6/,
    ],
    [
      'with a key it does not know',
      (text: string) => text.replace('birth_gateway =', 'birth_gatewayz ='),
      /qmcp\.toml: world\.ai\.birth_gatewayz: expected one of prefix, .*birth_gateway/,
    ],
    [
      'with a value it cannot use',
      (text: string) => text.replace('"full"', '"root"'),
      /qmcp\.toml: world\.ai\.birth_ceiling: expected one of read, exec, net, full/,
    ],
  ] as const)
    it(`qmcpd does not start on a qmcp.toml ${what}, and says where`, async () => {
      await expect(startWith((root) => edit(config(root), change))).rejects.toThrow(message);
    });

  it('qmcpd does not start without its qmcp.toml', async () => {
    await expect(startWith((root) => rmSync(config(root)))).rejects.toThrow(
      /qmcp\.toml: .*is not a regular file/,
    );
  });

  it('qmcpd does not start on an audit log whose end was changed', async () => {
    const log = (root: string) => join(root, 'var/log/qmcp/audit.log');
    await expect(startWith((root) => writeFileSync(log(root), '{"hash":"00","seq":1}\n'))).rejects.toThrow(
      /does not match its hash/,
    );
  });
});
