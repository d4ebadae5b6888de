import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sharedHarness } from '../support/harness.js';

const host = sharedHarness();

const HEAD = 'qmcp.inspect.List+ mcp-control keyword adminvm\0';
const REFUSED = '{"error":{"code":"invalid-request"},"ok":false}\n';

/** Nanoseconds of processor time of qmcpd, so other processes do not count. Some kernels count ticks. */
const processor = () => Number(readFileSync(`/proc/${host().sim.qmcpd.pid}/schedstat`, 'utf8').split(' ')[0]);
/** Enough repetitions that one tick more or less does not matter. */
const ENOUGH = 50_000_000;

/** The average cost of these bytes for qmcpd. It does one thing at a time, so its other callers wait as long. */
async function cost(payload: string, isEnough: (judged: number, spent: number) => boolean): Promise<number> {
  const before = processor();
  let judged = 0;
  do {
    const others = host().direct('qmcp.inspect.List', '@adminvm');
    expect(await host().bytes(Buffer.from(HEAD + payload))).toBe(REFUSED);
    expect(JSON.parse(await others)).toMatchObject({ ok: true });
    judged += 1;
  } while (!isEnough(judged, processor() - before));
  return (processor() - before) / judged;
}

// ATTACK 19
describe('no payload keeps qmcpd from serving other callers', () => {
  const PLAIN = `{"a":"${'x'.repeat(65_000)}"}`;
  const PAYLOADS: Record<string, string> = {
    'strings that never end': '\\"'.repeat(32_768),
    'nothing but quotes': '"'.repeat(65_536),
    'one string of escapes': `{"a":"${'\\"'.repeat(32_000)}`,
    'brackets in strings': '["'.repeat(32_768),
    'digits without end': `{"a":${'9'.repeat(65_000)}}`,
    'fifteen of the longest numbers': `{"a":[${Array(15).fill('9'.repeat(4300)).join(',')}]}`,
    'seven thousand keys': `{${Array.from({ length: 7300 }, (_, at) => `"${at}":0`).join(',')}}`,
  };
  for (const [what, payload] of Object.entries(PAYLOADS))
    it(what, async () => {
      const plain = await cost(PLAIN, (judged, spent) => spent > ENOUGH || judged === 20_000);
      const hostile = await cost(payload, (judged, spent) => judged === 20 || spent > 100 * ENOUGH);
      // Quadratic cost of as many bytes would be ten thousand times as much.
      expect(hostile / plain).toBeLessThan(100);
    });
});
