import { LIMITS } from '../api/generated/limits.js';
import { invalidAt } from '../api/index.js';
import { partsOf } from '../api/internal/parts.js';

/** One JSON object as UTF-8, with `extra` bytes after it. Refuses a request that is too long before it is sent. */
export function requestOf(params: unknown, extra = 0): Uint8Array {
  const bytes = new TextEncoder().encode(JSON.stringify(params));
  const size = bytes.length + extra;
  if (size <= LIMITS.request_bytes) return bytes;
  const problem = `is too long: the request has ${size} bytes as JSON, and ${LIMITS.request_bytes} are allowed`;
  throw invalidAt(largestPart(params), problem);
}

/** The place of the value that takes up most of the request. */
function largestPart(value: unknown): string {
  const parts = partsOf(value).map(([step, part]) => ({
    step,
    part,
    size: JSON.stringify(part)?.length ?? 0,
  }));
  const [largest] = parts.sort((one, other) => other.size - one.size);
  const rest = parts.slice(1).reduce((sum, { size }) => sum + size, 0);
  // Of many small parts, no single one is too long.
  return largest === undefined || largest.size < rest ? '' : `/${largest.step}${largestPart(largest.part)}`;
}
