import { describe, expect, it } from 'vitest';
import { seat } from './host.js';

const host = seat();

/** The longest that another caller waits while these bytes are being judged. */
async function others(bytes: Buffer): Promise<number> {
  const hostile = host().bytes(bytes);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const begun = performance.now();
  expect(JSON.parse(await host().direct('qmcp.inspect.List', '@adminvm'))).toMatchObject({ ok: true });
  const waited = performance.now() - begun;
  expect(await hostile).toBe('{"error":{"code":"invalid-request"},"ok":false}\n');
  return waited;
}

// ATTACK 19
describe('no payload keeps the daemon from its other callers', () => {
  const HEAD = 'qmcp.inspect.List+ mcp-control keyword adminvm\0';
  const PAYLOADS: Record<string, string> = {
    'strings that never end': '\\"'.repeat(32_768),
    'nothing but quotes': '"'.repeat(65_536),
    'one string of escapes': `{"a":"${'\\"'.repeat(32_000)}`,
    'brackets in strings': '["'.repeat(32_768),
    'digits without end': `{"a":${'9'.repeat(65_000)}}`,
    'fifteen of the longest numbers': `{"a":[${Array(15).fill('9'.repeat(4300)).join(',')}]}`,
    'ten thousand keys': `{${Array.from({ length: 8000 }, (_, at) => `"${at}":0`).join(',')}}`,
  };
  for (const [what, payload] of Object.entries(PAYLOADS))
    it(what, async () => {
      expect(await others(Buffer.from(HEAD + payload))).toBeLessThan(1000);
    });
});
