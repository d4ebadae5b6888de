/**
 * Compares the policy engine with recorded verdicts of the real one: `node dist/sim/policy/verdicts.js FILE`. A line of the file
 * has a system, policy files, whether they loaded, and requests with their verdicts.
 */
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { evaluate, type PolicyRequest, type Verdict } from './evaluate.js';
import { type Policy, policyOf } from './load.js';
import { PolicySyntaxError } from './rule.js';
import type { PolicySystem } from './system.js';

interface RecordedRequest extends PolicyRequest {
  readonly verdict: 'allow' | 'deny' | 'ask';
  readonly resolved?: string;
  readonly user?: string | null;
  readonly autostart?: boolean;
  readonly targets?: readonly string[];
  readonly default_target?: string | null;
}

export interface RecordedCase {
  readonly system: PolicySystem;
  readonly files: Readonly<Record<string, string>>;
  readonly load_error: string | null;
  readonly requests: readonly RecordedRequest[];
}

/** The values that a recorded system omits for a qube. */
const DEFAULT_QUBE = { type: 'AppVM', power_state: 'Running' };

export interface Comparison {
  readonly matching: number;
  readonly of: number;
  readonly differences: readonly string[];
}

export function compare(cases: readonly RecordedCase[]): Comparison {
  let agree = 0;
  let of = 0;
  const differences: string[] = [];
  for (const [index, one] of cases.entries()) {
    const policy = load(one.files);
    const system = Object.fromEntries(
      Object.entries(one.system).map(([name, qube]) => [name, { ...DEFAULT_QUBE, ...qube }]),
    );
    for (const request of one.requests) {
      of += 1;
      const ours = policy === null ? { verdict: 'deny' } : asRecorded(evaluate(policy, system, request));
      const theirs = expected(request);
      if (JSON.stringify(ours) === JSON.stringify(theirs)) agree += 1;
      else {
        const { service, argument, source, target } = request;
        differences.push(
          `line ${index + 1}: ${service}+${argument} ${source} → ${target}\n  recorded ${JSON.stringify(theirs)}\n  ours     ${JSON.stringify(ours)}`,
        );
      }
    }
    if ((policy === null) !== (one.load_error !== null))
      differences.push(`line ${index + 1}: recorded load error ${one.load_error}, ours ${policy === null}`);
  }
  return { matching: agree, of, differences };
}

function load(files: Readonly<Record<string, string>>): Policy | null {
  try {
    return policyOf(files);
  } catch (error) {
    if (error instanceof PolicySyntaxError) return null;
    throw error;
  }
}

function asRecorded(verdict: Verdict): object {
  if (verdict.verdict === 'deny') return { verdict: 'deny' };
  const { user, autostart } = verdict;
  return verdict.verdict === 'allow'
    ? { verdict: 'allow', resolved: verdict.target, user: user ?? 'DEFAULT', autostart }
    : { verdict: 'ask', targets: verdict.targets, default_target: verdict.defaultTarget };
}

function expected({ verdict, resolved, user, autostart, targets, default_target }: RecordedRequest): object {
  if (verdict === 'allow') return { verdict, resolved, user: user ?? 'DEFAULT', autostart };
  if (verdict === 'ask') return { verdict, targets: [...(targets ?? [])].sort(), default_target };
  return { verdict };
}

export function readCases(text: string): RecordedCase[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as RecordedCase);
}

function main(file: string | undefined): number {
  if (file === undefined) {
    process.stderr.write('usage: verdicts FILE\n');
    return 2;
  }
  const { matching: agree, of, differences } = compare(readCases(readFileSync(file, 'utf8')));
  for (const difference of differences) process.stdout.write(`${difference}\n`);
  process.stdout.write(`agree ${agree} of ${of}\n`);
  return agree === of && differences.length === 0 ? 0 : 1;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
  process.exitCode = main(process.argv[2]);
