import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Dom0Snapshot = ReturnType<typeof dom0SnapshotOf>;

/** Reads dom0's files as they are now. `root` contains its `etc` and `var`. */
export function dom0SnapshotOf(root: string) {
  const lines = (...path: string[]) => readFileSync(join(root, ...path), 'utf8').split('\n');
  const policies = readdirSync(join(root, 'etc/qubes/policy.d')).filter((file) => file.endsWith('.policy'));
  return {
    contracts: readdirSync(join(root, 'etc/qmcp/contracts'))
      .filter((file) => file.endsWith('.json'))
      .map((file) => file.slice(0, -'.json'.length))
      .sort(),
    policy: policies
      .sort()
      .flatMap((file) => lines('etc/qubes/policy.d', file))
      .filter((line) => /^[^#\s]/.test(line)),
    // Text after the last newline is a line that is still being written.
    audit: lines('var/log/qmcp/audit.log')
      .slice(0, -1)
      .map((line) => {
        const { kind, call, names } = JSON.parse(line) as { kind: string; call?: string; names?: string[] };
        return { kind, ...(call !== undefined && { call }), ...(names !== undefined && { names }) };
      }),
  };
}
