import { readFileSync } from 'node:fs';

/** The version of this package; works compiled (dist/core) and from source (core). */
export const VERSION: string = packageVersion();

function packageVersion(): string {
  for (const up of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'));
      if (name === 'qmcp') return version;
    } catch {}
  }
  return '0.0.0';
}
