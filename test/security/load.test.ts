import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import canonicalize from 'canonicalize';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configure, Harness, roomy } from '../support/harness.js';

// The package is CommonJS and its types describe an ES default export.
const jcs = canonicalize as unknown as (value: unknown) => string;

/** The number of calls, from 32 connections at a time; QMCP_LOAD=10000 for a full run. */
const CALLS = Number(process.env.QMCP_LOAD ?? 1_500);
const CONNECTIONS = 32;
const QUBES = 6;

let harness: Harness;
beforeAll(async () => {
  harness = await Harness.start({
    prepare: (root) => {
      roomy(root);
      configure(root, { qubes: QUBES, running: 3, concurrent_calls: 64 });
    },
  });
});
afterAll(() => harness.close());

/** One after the other: looks at existing and missing qubes, makes, starts, configures, stops, removes and restores. */
const NAMES = ['ai-a', 'ai-b', 'ai-c', 'ai-d', 'ai-e', 'ai-f', 'ai-g', 'ai-h'];
function call(at: number): Promise<string> {
  const name = NAMES[(at * 7) % NAMES.length]!;
  const kinds = [
    () => harness.direct('qmcp.inspect.List', '@adminvm'),
    () => harness.direct('qmcp.inspect.State', name),
    () => harness.direct('qmcp.inspect.State', 'vault'),
    () => harness.direct('qmcp.spawn.Create', '@adminvm', { name, template: 'ai-debian' }),
    () => harness.direct('qmcp.spawn.Start', name),
    () => harness.direct('qmcp.inspect.Set', name, { memory: 400 + (at % 100) }),
    () => harness.direct('qmcp.spawn.Kill', name),
    () => harness.direct('qmcp.egress.RulesSet', name, { rules: [{ to: 'example.com' }] }),
    () => harness.direct('qmcp.spawn.Remove', name),
    () => harness.direct('qmcp.spawn.Restore', '@adminvm', { qube: name }),
    () => harness.direct('qmcp.spawn.Create', '@adminvm', '{'),
  ];
  return kinds[(at * 5) % kinds.length]!();
}

/** The memory of qmcpd in KiB. */
const memory = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${harness.sim.qmcpd.pid}/status`, 'utf8'))![1]);

describe('under load', () => {
  it('under load, the audit log loses no line, its chain is intact, no budget is exceeded, and memory does not grow', async () => {
    const truth = () =>
      harness.sim.host.snapshot().qubes.filter(({ tags }) => tags.includes('created-by-mcp-control'));
    const told: string[] = [];
    const most = { qubes: 0, running: 0 };
    let at = 0;
    const before = harness.audit().length;
    const work = async (until: number) => {
      while (at < until) {
        told.push(JSON.parse(await call(at++)).error?.code ?? 'ok');
        const made = truth();
        most.qubes = Math.max(most.qubes, made.length);
        most.running = Math.max(most.running, made.filter(({ state }) => state === 'Running').length);
      }
    };
    const crowd = (until: number) => Promise.all(Array.from({ length: CONNECTIONS }, () => work(until)));
    await crowd(Math.floor(CALLS / 3));
    const early = memory();
    await crowd(CALLS);
    const late = memory();

    const codes = [...new Set(told)].map((code) => `${code} ${told.filter((one) => one === code).length}`);
    console.log(`${told.length} calls: ${codes.join(', ')}; memory ${early} → ${late} KiB`);
    expect(told).toHaveLength(CALLS);
    expect(told.filter((code) => code === 'failed')).toEqual([]);
    expect(most.qubes).toBeLessThanOrEqual(QUBES);
    expect(most.running).toBeLessThanOrEqual(3);
    expect(late).toBeLessThan(early + 8_192);

    // Every refusal is one line, every change an intent and an outcome, and each line follows from the previous one.
    const lines = harness.audit().slice(before);
    const intents = new Set(lines.filter(({ kind }) => kind === 'intent').map(({ call }) => call));
    const outcomes = lines.filter(({ kind }) => kind === 'outcome').map(({ call }) => call);
    expect(outcomes).toHaveLength(intents.size);
    expect(outcomes.every((one) => intents.has(one))).toBe(true);
    const refusals = lines.filter(({ kind }) => kind === 'refusal').length;
    const refusedChanges = lines.filter(({ kind, code }) => kind === 'outcome' && code !== 'ok').length;
    expect(refusals + refusedChanges).toBe(told.filter((code) => code !== 'ok').length);
    const log = readFileSync(join(harness.sim.root, 'var/log/qmcp/audit.log'), 'utf8').trimEnd().split('\n');
    for (const [index, line] of log.entries()) {
      const { hash, ...entry } = JSON.parse(line);
      expect(entry.prev).toBe(index === 0 ? '0'.repeat(64) : JSON.parse(log[index - 1]!).hash);
      expect(hash).toBe(createHash('sha256').update(jcs(entry)).digest('hex'));
    }
  }, 300_000);
});
