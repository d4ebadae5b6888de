/**
 * Asks every service that is served whether it is there, and has no effect: each gets a request that is none, which dom0
 * turns down on its shape alone. What counts is who answers.
 */
import type { Service } from '../../core/api/index.js';
import type { Qrexec, QrexecResult, Reviewed } from '../../core/main.js';
import { type Finding, fine, wrong } from './finding.js';

const NO_REQUEST = new TextEncoder().encode('[]');
/** Seconds; a person is waiting. */
const PATIENCE = 10;
const AT_ONCE = 3;
const LIST = 'qmcp.inspect.List';

interface Known {
  readonly qubes: readonly { readonly name: string; readonly state: string }[];
}

export async function* probes(loaded: Reviewed, qrexec: Qrexec): AsyncGenerator<Finding> {
  const used = loaded.tools.flatMap(({ tool }) => Object.values(tool.uses) as Service[]);
  const services = [...new Map(used.map((service) => [service.name, service])).values()];
  const ask = (target: string, service: string, stdin = NO_REQUEST) =>
    qrexec.call({ target, service, stdin, timeout: PATIENCE, maxBytes: 4_194_304 });

  const listed = services.some(({ name }) => name === LIST)
    ? await ask('@adminvm', LIST, new TextEncoder().encode('{}'))
    : undefined;
  if (listed && codeOf(listed) === 'frozen') {
    yield wrong(
      'frozen',
      'world',
      'it is frozen: dom0 answers every call with the refusal frozen',
      'The operator stopped this world. In dom0, when that is over: qmcp-admin thaw.',
    );
    return;
  }
  const known = listed && knownIn(listed);

  const asking = services.flatMap((service) => {
    const target = targetOf(service, known);
    return target === undefined ? [] : [{ service: service.name, target }];
  });
  const denied = (
    await inTurns(asking, async ({ service, target }) =>
      (await ask(target, service)).exit === 126 ? service : undefined,
    )
  ).filter((each) => each !== undefined);
  yield denied.length === 0
    ? fine('policy', 'qrexec policy', `${asking.length} services asked, all of them answer`)
    : wrong(
        'policy-denied',
        'qrexec policy',
        `dom0 has the contract, grants it, and its policy denies ${denied.join(', ')}`,
        'In dom0: qmcp-admin policy install, when the policy is older than the contracts or qmcp.toml. When a file that sorts before 30-qmcp.policy denies it on purpose, leave the tool out here, with tools.exclude or a preset.',
      );
  if (known === undefined) return;
  if (known.qubes.length === 0)
    yield fine(
      'qubes',
      'qubes',
      'the world has none',
      'In dom0, give it one to start from: qmcp-admin enroll NAME --world WORLD.',
    );
  else
    yield fine(
      'qubes',
      'qubes',
      `the world has ${known.qubes.length}, ${running(known).length} of them running`,
    );
  for (const service of services.filter(({ kind }) => kind === 'guest')) yield* guests(service, known, ask);
}

/** A few at a time: a world has a budget of calls at once, and an agent may be at work. */
async function inTurns<A, B>(all: readonly A[], act: (one: A) => Promise<B>): Promise<B[]> {
  const done: B[] = [];
  for (let from = 0; from < all.length; from += AT_ONCE)
    done.push(...(await Promise.all(all.slice(from, from + AT_ONCE).map(act))));
  return done;
}

/** Where a service can be asked whatever tier anything has: on dom0, or on any qube when looking is enough. */
function targetOf(service: Service, known: Known | undefined): string | undefined {
  if (service.kind === 'host' || service.kind === 'stream') return '@adminvm';
  if (service.kind === 'target' && service.capability === 'read') return known?.qubes[0]?.name;
  return undefined;
}

async function* guests(
  { name }: Service,
  known: Known,
  ask: (target: string, service: string) => Promise<QrexecResult>,
): AsyncGenerator<Finding> {
  const up = running(known);
  if (up.length === 0) {
    yield fine('guest', name, 'no qube of the world is running, so nobody was asked');
    return;
  }
  for (const qube of up) {
    const { exit } = await ask(qube, name);
    if (exit === 126) yield fine('guest', name, `${qube} is not at its tier`);
    else if (exit === 127)
      yield wrong(
        'guest-missing',
        name,
        `${qube} does not have it`,
        `Install the guest services in the template of ${qube} (guest/ of this package: make install), then restart ${qube}.`,
      );
    else yield fine('guest', name, `${qube} answers`);
  }
}

const running = ({ qubes }: Known): string[] =>
  qubes.filter(({ state }) => state === 'running').map(({ name }) => name);

function replyOf({ stdout }: QrexecResult): { ok?: unknown; result?: unknown; error?: { code?: unknown } } {
  try {
    return JSON.parse(new TextDecoder().decode(stdout)) ?? {};
  } catch {
    return {};
  }
}

const codeOf = (result: QrexecResult): unknown => replyOf(result).error?.code;

function knownIn(result: QrexecResult): Known | undefined {
  const { ok, result: value } = replyOf(result);
  return ok === true ? (value as Known) : undefined;
}
