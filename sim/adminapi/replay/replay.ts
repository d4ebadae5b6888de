import type { Api } from '../../host/api.js';
import { Host } from '../../host/host.js';
import { type HostSpec, loadHostSpec } from '../../host-spec.js';
import { isStream } from '../exchange.js';
import { prepareEnvironment } from './environment.js';
import { normalise } from './normalise.js';
import { type Exchange, partsOf } from './recording.js';
import { hostSpecOf } from './seed.js';
import { Translation } from './translate.js';

/** The outcome of one exchange. */
export interface Outcome {
  readonly at: number;
  readonly request: string;
  /** Normalised. */
  readonly recorded: string;
  readonly ours: string;
  readonly identical: boolean;
  /** The change to the machine before the request; see `environment.ts`. */
  readonly environment: string | null;
}

export interface ReplayOptions {
  readonly api: Api;
  readonly world?: HostSpec;
  readonly seed?: number;
}

/** Replays exchanges in order on a host of their release, and on a new host each time the recording changes hosts. */
export async function replay(exchanges: readonly Exchange[], options: ReplayOptions): Promise<Outcome[]> {
  const world = options.world ?? loadHostSpec('recorded');
  const episode = (from: number, to: number) => run(exchanges, from, to, world, options);
  const outcomes: Outcome[] = [];
  let from = 0;
  for (const [first, last] of hostChanges(exchanges)) {
    const at = await boundary(episode, from, Math.max(first, from), last);
    outcomes.push(...(await episode(from, at)));
    from = at;
  }
  outcomes.push(...(await episode(from, exchanges.length)));
  return outcomes;
}

type Episode = (from: number, to: number) => Promise<Outcome[]>;

async function run(
  exchanges: readonly Exchange[],
  from: number,
  to: number,
  world: HostSpec,
  { api, seed }: ReplayOptions,
): Promise<Outcome[]> {
  const host = Host.load(hostSpecOf(exchanges.slice(from, to), world), { api, seed: seed ?? 1, wait: soon });
  const translation = new Translation();
  const outcomes: Outcome[] = [];
  for (let at = from; at < to; at++) {
    const exchange = exchanges[at] as Exchange;
    const { request } = exchange;
    translation.keepFixed(request);
    const environment = prepareEnvironment(host, { ...exchange, request: translation.request(request) });
    const reply = await ask(host, Buffer.from(translation.request(request), 'latin1'));
    const recorded = normalise(request, exchange.response);
    const ours = normalise(request, reply.toString('latin1'));
    outcomes.push({ at, request, recorded, ours, identical: translation.same(recorded, ours), environment });
  }
  return outcomes;
}

/** Waits end at once, but after everything in progress has had its turn. */
export function soon(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** Listens to a stream for a moment, as the recorder had to disconnect too. */
async function ask(host: Host, request: Buffer): Promise<Buffer> {
  if (!isStream(request)) {
    const reply = await host.call(request);
    await host.idle();
    return Buffer.from(reply);
  }
  const chunks: Uint8Array[] = [];
  const hangUp = new AbortController();
  const ended = host.stream(request, (bytes) => chunks.push(bytes), hangUp.signal);
  await soon();
  hangUp.abort();
  await ended;
  return Buffer.concat(chunks);
}

/**
 * A recording may have been made on several hosts, one after the other. This shows when a qube has a new uuid although it was
 * not removed. Yields the exchanges between which the host changed: after the first, up to the last.
 */
export function hostChanges(exchanges: readonly Exchange[]): [number, number][] {
  const seen = new Map<string, { uuid: string; at: number }>();
  const changes: [number, number][] = [];
  for (const [at, { request, response }] of exchanges.entries()) {
    const { method, dest } = partsOf(request);
    if (method === 'admin.vm.Remove' && response.startsWith('0\0')) seen.delete(dest);
    if (method !== 'admin.vm.List') continue;
    const listed = [...response.matchAll(/^(?:0\0)?(\S+) class=\S+ state=\S+ uuid=(\S+)$/gm)];
    const changed = listed
      .map(([, name = '', uuid]) => ({ before: seen.get(name), uuid }))
      .filter(({ before, uuid }) => before !== undefined && before.uuid !== uuid);
    if (changed.length > 0) {
      changes.push([Math.max(...changed.map(({ before }) => before?.at ?? 0)) + 1, at]);
      seen.clear();
    }
    for (const [, name = '', uuid = ''] of listed) seen.set(name, { uuid, at });
  }
  return changes;
}

/** Of the places where the host may have changed, returns the one that explains most of the replies around it. */
async function boundary(episode: Episode, from: number, first: number, last: number): Promise<number> {
  const before = await episode(from, last);
  let best = first;
  let most = -1;
  for (let at = first; at <= last; at++) {
    const agreements =
      before.filter((outcome) => outcome.at >= first && outcome.at < at && outcome.identical).length +
      (await episode(at, last + 1)).filter((outcome) => outcome.identical).length;
    if (agreements > most) [best, most] = [at, agreements];
  }
  return best;
}
