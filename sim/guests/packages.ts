/** The repository of a simulated distribution with a few packages, and `apt-get` for them. */
import { type CustomCommand, defineCommand } from 'just-bash';
import type { Reach } from '../network/reach.js';

const MIRROR = { host: 'mirror.example.org', port: 443, protocol: 'tcp' } as const;
const FETCHED = 100;

/** Each package is one program, a line of shell. Most of them are packages that a person tries first. */
const REPOSITORY: Readonly<Record<string, { readonly version: string; readonly program: string }>> = {
  hello: { version: '2.12.2-1', program: 'echo "Hello, world!"' },
  cowsay: {
    version: '3.03+dfsg2-8',
    program: `text="\${*:-moo}"; printf ' < %s >\\n   \\\\  ^__^\\n      (oo)\\\\_______\\n' "$text"`,
  },
  rot13: { version: '1.0-1', program: 'tr A-Za-z N-ZA-Mn-za-m' },
};

/** Packages come from the network, so a qube without network gets none; and they go into the root, so only root may install. */
export function aptGet(
  uid: number,
  reach: (destination: typeof MIRROR) => Reach | Promise<Reach>,
): CustomCommand {
  return defineCommand('apt-get', async (words, { fs }) => {
    const [verb, ...names] = words.filter((word) => !word.startsWith('-'));
    const failed = (...lines: string[]) => ({
      stdout: '',
      stderr: lines.map((line) => `E: ${line}\n`).join(''),
      exitCode: FETCHED,
    });
    const done = (...lines: string[]) => ({
      stdout: lines.map((line) => `${line}\n`).join(''),
      stderr: '',
      exitCode: 0,
    });
    if (verb !== 'update' && verb !== 'install') return failed(`Invalid operation ${verb ?? ''}`);
    if (uid !== 0)
      return failed('Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)');
    const found = await reach(MIRROR);
    if (!found.reached)
      return failed(`Failed to fetch https://${MIRROR.host}/  Connection failed (${found.why})`);
    if (verb === 'update')
      return done(`Hit:1 https://${MIRROR.host}/debian trixie InRelease`, 'Reading package lists...');
    const missing = names.filter((name) => !Object.hasOwn(REPOSITORY, name));
    if (missing.length > 0) return failed(...missing.map((name) => `Unable to locate package ${name}`));
    const lines: string[] = [];
    for (const name of names) {
      const { version, program } = REPOSITORY[name]!;
      await fs.writeFile(`/usr/bin/${name}`, `#!/bin/sh\n${program}\n`);
      await fs.chmod(`/usr/bin/${name}`, 0o755);
      lines.push(`Unpacking ${name} (${version}) ...`, `Setting up ${name} (${version}) ...`);
    }
    return done(...lines);
  });
}
