import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The root of the package that contains this file, whether it is compiled (dist/cli/shipped) or not (cli/shipped). */
export const PACKAGE = ['../../..', '../..']
  .map((up) => fileURLToPath(new URL(up, import.meta.url)))
  .find((path) => existsSync(`${path}/dom0/spec/steps.toml`))!;
