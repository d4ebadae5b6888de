import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A program that answers `qubesdb-read /name` as the one in a qube of this name does. */
export const qubesdbRead = (name: string): string => `#!/bin/sh
[ "$1" = /name ] || exit 2
printf '%s\\n' '${name}'
`;

/** Writes that program into the folder, for PATH. Returns the folder. */
export function installQubesdbRead(folder: string, name: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'qubesdb-read');
  writeFileSync(path, qubesdbRead(name));
  chmodSync(path, 0o755);
  return folder;
}
