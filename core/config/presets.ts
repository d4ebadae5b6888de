import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PRESETS } from './defaults.js';

/** The file of a shipped preset, or undefined if there is no preset of that name. */
export function presetFile(name: string): string | undefined {
  if (!PRESETS.includes(name as (typeof PRESETS)[number])) return undefined;
  // From the package this runs in, compiled (dist/core/config) or not (core/config).
  const candidates = ['../../config', '../../../config'].map((folder) =>
    fileURLToPath(new URL(`${folder}/${name}.yaml`, import.meta.url)),
  );
  return candidates.find((path) => existsSync(path));
}
