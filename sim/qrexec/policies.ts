import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadPolicy, type Policy } from '../policy/load.js';

const DIRECTORIES = ['run/qubes/policy.d', 'etc/qubes/policy.d'];

/** The policy under a dom0 root, read again after any change of its files. */
export class Policies {
  private stamp = '';
  private loaded: Policy | Error = new Error('no policy has been loaded');

  constructor(private readonly root: string) {}

  /** Throws while the policy is invalid: then nothing is allowed. */
  current(): Policy {
    const directories = DIRECTORIES.map((one) => join(this.root, one)).filter((one) => existsSync(one));
    const stamp = directories.flatMap(filesIn).join('\n');
    if (stamp !== this.stamp) {
      this.stamp = stamp;
      try {
        this.loaded = loadPolicy(directories, { legacy: join(this.root, 'etc/qubes-rpc/policy') });
      } catch (error) {
        this.loaded = error as Error;
      }
    }
    if (this.loaded instanceof Error) throw this.loaded;
    return this.loaded;
  }
}

function filesIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' }).map((name) => {
    const { mtimeNs, size } = statSync(join(directory, name), { bigint: true });
    return `${directory}/${name} ${mtimeNs} ${size}`;
  });
}
