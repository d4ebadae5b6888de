import { errors } from '../../host/errors.js';
import { method } from '../method.js';

/** Characters, not bytes. */
const MAX_NOTES = 256_000;

export const NOTES_METHODS = [
  method('admin.vm.notes.Get', { dom0: false, since: '4.3' }, ({ dest }) => dest.notes),
  method('admin.vm.notes.Set', { dom0: false, payload: true, since: '4.3' }, ({ dest, payload }) => {
    if (payload.length > MAX_NOTES) {
      throw errors.protocol(`Maximum note size is ${MAX_NOTES} bytes (${payload.length} bytes received)`);
    }
    const text = Buffer.from(payload).toString('utf8');
    dest.notes = [...text].map((char) => (isSafe(char) ? char : '_')).join('');
    return undefined;
  }),
];

/** The characters that a terminal or toolkit may show: printable ones, newline and tab, and no control characters. */
function isSafe(char: string): boolean {
  return char === '\n' || char === '\t' || !/[\p{C}\p{Zl}\p{Zp}\ufffd]/u.test(char);
}
