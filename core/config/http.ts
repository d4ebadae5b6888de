/** Reads the files that the settings of HTTP name. */
import { readFileSync, statSync } from 'node:fs';
import { BadConfig } from './fault.js';

/** The text of a file with secrets. Throws BadConfig if anybody but its owner can read it. */
export function readSecret(path: string): string {
  const { mode } = attempt(path, () => statSync(path));
  if ((mode & 0o077) !== 0)
    throw new BadConfig(`${path}: others than its owner can use it; run chmod 600 ${path}`);
  return readText(path);
}

export const readText = (path: string): string => attempt(path, () => readFileSync(path, 'utf8'));

/** The JSON in a file. Throws BadConfig if there is none. */
export function readJson(path: string): unknown {
  const text = readText(path);
  try {
    return JSON.parse(text);
  } catch {
    throw new BadConfig(`${path}: expected JSON`);
  }
}

function attempt<T>(path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new BadConfig(`${path}: ${code === 'ENOENT' ? 'no such file' : message}`);
  }
}
