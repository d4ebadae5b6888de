import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The root of the package this runs in, compiled (dist/cli) or not (cli). */
export const PACKAGE = ['../..', '..']
  .map((up) => fileURLToPath(new URL(up, import.meta.url)))
  .find((path) => existsSync(`${path}/dom0/settings/vocabulary.toml`))!;
