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

/** What a terminal or a toolkit may be shown: printable, a newline or a tab; nothing that steers the display. */
function isSafe(char: string): boolean {
  return char === '\n' || char === '\t' || !/[\p{C}\p{Zl}\p{Zp}\ufffd]/u.test(char);
}
