/**
 * Two hosts that differ only outside the world give an agent byte-identical transcripts, whatever it does. This needs no list of
 * attacks: the calls come from the installed contracts, so a new service is attacked as soon as it is installed.
 *
 *     QMCP_PAIRS=20000 npx --no-install vitest run test/security/noninterference.test.ts
 *     QMCP_SEED=…           repeats a run, by the seed it printed
 */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SEED } from '../support/seed.js';
import { timeless } from '../support/timeless.js';
import { type Call, calls, installedContracts } from './noninterference/calls.js';
import {
  type Change,
  changes,
  type Differences,
  LABOUR,
  type Pair,
  pairs,
  SIDES,
  type Side,
} from './noninterference/hosts.js';
import { Dom0, ObservedHost, type Told } from './noninterference/play.js';

const PAIRS = Number(process.env.QMCP_PAIRS ?? 300);

interface Step {
  readonly call: Call;
  /** On one side only, before the call and during it. */
  readonly side: Side;
  readonly before: readonly Change[];
  readonly meanwhile: readonly Change[];
}

interface Scenario {
  readonly pair: Pair;
  readonly steps: readonly Step[];
}

const contracts = installedContracts();

const scenario = (differences: Differences): fc.Arbitrary<Scenario> => {
  const change = changes(differences);
  const between = differences.otherWorld ? fc.oneof(change, LABOUR) : change;
  return fc.record({
    pair: pairs(differences),
    steps: fc.array(
      fc.record({
        call: calls(contracts, differences.strayTiers === true),
        side: fc.constantFrom(...SIDES),
        before: fc.oneof(fc.constant([]), fc.array(between, { maxLength: 3 })),
        meanwhile: fc.oneof(fc.constant([]), fc.array(change, { maxLength: 2 })),
      }),
      { minLength: 5, maxLength: 20, size: 'max' },
    ),
  });
};

let dom0: Dom0;
beforeAll(() => {
  dom0 = Dom0.write();
  // One host may take longer than the other for the same call.
  timeless();
});
afterAll(async () => {
  dom0.remove();
});

/** Counts the comparisons, and those without a refusal: a comparison of refusals alone would show little. */
const compared = { calls: 0, requests: 0, codes: {} as Record<string, number> };

/** The first difference between the two sides, or undefined. */
async function difference({ pair, steps }: Scenario): Promise<string | undefined> {
  const [left, right] = await Promise.all(SIDES.map((side) => ObservedHost.start(dom0, pair, side)));
  const both = [left!, right!] as const;
  try {
    for (const [at, { call, side, before, meanwhile }] of steps.entries()) {
      const elsewhere = SIDES.indexOf(side);
      await both[elsewhere]!.change(before);
      const told = await Promise.all(
        both.map((host, index) => host.play(call, index === elsewhere ? meanwhile : [])),
      );
      count(call, told[0]!);
      if (JSON.stringify(told[0]) !== JSON.stringify(told[1]))
        return `step ${at}, ${JSON.stringify(call)}:\n${SIDES.map((name, index) => shown(name, told[index]!)).join('\n')}`;
    }
    const [one, other] = both.map((host) => host.truth().join('\n'));
    return one === other ? undefined : `the world afterwards:\n${one}\n--- right\n${other}`;
  } finally {
    await Promise.all(both.map((host) => host.close()));
  }
}

const shown = (side: string, { reply, asked }: Told) =>
  `--- ${side}: ${reply.trimEnd()}\n${asked.map((one) => `      ${JSON.stringify(one)}`).join('\n')}`;

function count(call: Call, { reply, asked }: Told): void {
  compared.calls += 1;
  compared.requests += asked.length;
  const outcome = /"ok":true/.test(reply) ? 'ok' : (/"code":"([a-z-]+)"/.exec(reply)?.[1] ?? reply.trim());
  const key = `${call.service} ${outcome}`;
  compared.codes[key] = (compared.codes[key] ?? 0) + 1;
}

async function indistinguishable(drawn: Scenario): Promise<void> {
  const found = await difference(drawn);
  if (found !== undefined) throw new Error(`the two hosts differ at ${found}`);
}

describe(`noninterference: hosts that differ only outside the world cannot be told apart (seed ${SEED})`, () => {
  const check = (differences: Differences, share: number) =>
    fc.assert(fc.asyncProperty(scenario(differences), indistinguishable), {
      seed: SEED,
      numRuns: Math.max(1, Math.round(PAIRS * share)),
    });
  const patience = PAIRS * 2_000 + 600_000;

  it(
    'any calls through the policy and past it give the same answers on both hosts',
    () => check({}, 0.7),
    patience,
  );

  it(
    'any calls past the policy give the same answers, wherever the operator misplaced tags outside',
    () => check({ strayTiers: true }, 0.15),
    patience,
  );

  it('no call shows what another world has and does', () => check({ otherWorld: true }, 0.15), patience);

  it('the compared answers include successes, not only refusals', () => {
    console.log(
      `noninterference: seed ${SEED}, ${PAIRS} pairs, ${compared.calls} calls, ${compared.requests} requests to qubesd on each side`,
    );
    const services = [
      'qmcp.Catalog',
      ...contracts.flatMap((one) => (one.route === 'dom0' ? one.service : [])),
    ];
    const never = services.filter((service) => !compared.codes[`${service} ok`]);
    // Some need earlier calls that fit together, which is rare by chance; with few pairs, they may be missing.
    expect(PAIRS < 300 ? 0 : never.length, `never: ${never}`).toBeLessThan(services.length / 3);
  });
});
