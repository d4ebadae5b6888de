import { errors, repr } from './errors.js';

/** Splits a run of device interface codes, seven characters each. */
export function parseInterfaces(text: string): string[] {
  if (text.length % 7 !== 0) {
    throw errors.value(
      `Invalid length of interfaces=${repr(text)} (is ${text.length}, expected multiple of 7)`,
    );
  }
  const codes: string[] = [];
  for (let at = 0; at < text.length; at += 7) codes.push(text.slice(at, at + 7));
  return codes;
}

/** Whether a denied pattern covers an interface: `*` stands for any character. */
export function covers(pattern: string, code: string): boolean {
  for (let i = 0; i < 7; i++) {
    const wanted = pattern.charAt(i);
    if (wanted !== '*' && wanted !== code.charAt(i)) return false;
  }
  return true;
}
