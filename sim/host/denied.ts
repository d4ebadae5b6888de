import { errors } from './errors.js';

/** Splits a run of device interface codes: a class letter (or `*`) and six hexadecimal digits or `*`, seven each. */
export function parseInterfaces(text: string): string[] {
  if (text.length % 7 !== 0) throw errors.protocol(`Invalid device interface encoding: ${text}`);
  const codes: string[] = [];
  for (let at = 0; at < text.length; at += 7) {
    const code = text.slice(at, at + 7);
    if (!/^[bump*][0-9a-fA-F*]{6}$/.test(code)) {
      throw errors.propertyValue(
        'Interface code list should be in the form chhhhhhchhhhhh...,where c is one of "b", "u", "m", "p", "*" and h is a hexdigit or "*".',
      );
    }
    codes.push(code);
  }
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
