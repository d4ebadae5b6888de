/**
 * Checks that every service can be reached, without an effect: each gets an invalid request, which dom0 rejects because of its
 * shape. The exit code shows whether the policy let the request through.
 */
import type { Service } from '../../core/api/index.js';
import { addressed, type Qrexec, type QrexecResult, type Reviewed } from '../../core/main.js';
import { type Finding, fine, wrong } from './finding.js';

const INVALID_REQUEST = new TextEncoder().encode('[]');
/** Seconds; short, because a person is waiting. */
const TIMEOUT = 10;
const CONCURRENT_CALLS = 3;
const DOM0 = '@adminvm';
const LIST = 'qmcp.inspect.List';

interface QubeList {
  readonly qubes: readonly { readonly name: string; readonly state: string }[];
}

export async function* probes(loaded: Reviewed, qrexec: Qrexec): AsyncGenerator<Finding> {
  const used = loaded.tools.flatMap(({ tool }) => Object.values(tool.uses) as Service[]);
  const every = [...new Map(used.map((service) => [service.name, service])).values()];
  const catalog = 'catalog' in loaded.catalog ? loaded.catalog.catalog.services : {};
  const services = every.filter(({ name }) => catalog[name]?.asks === undefined);
  const asked = every.filter((service) => !services.includes(service)).map(({ name }) => name);
  if (asked.length > 0)
    yield fine(
      'asked',
      'qrexec policy',
      `not tested, because the operator is asked first: ${asked.join(', ')}`,
      'qmcp-admin ask, in dom0, lists what the operator is asked about.',
    );
  const call = (target: string, name: string, stdin = INVALID_REQUEST) => {
    const service = target === DOM0 ? name : addressed(name, target);
    return qrexec.call({ target, service, stdin, timeout: TIMEOUT, maxBytes: 4_194_304 });
  };

  const listed = services.some(({ name }) => name === LIST)
    ? await call(DOM0, LIST, new TextEncoder().encode('{}'))
    : undefined;
  if (listed && codeOf(listed) === 'frozen') {
    yield wrong(
      'frozen',
      'world',
      'it is frozen: dom0 refuses every call with the code frozen',
      'The operator froze this world. To end this, run in dom0: qmcp-admin thaw.',
    );
    return;
  }
  const qubeList = listed && qubeListOf(listed);

  const requests = services.flatMap((service) => {
    const target = targetOf(service, qubeList);
    return target === undefined ? [] : [{ service: service.name, target }];
  });
  const denied = (
    await inBatches(requests, async ({ service, target }) =>
      (await call(target, service)).exit === 126 ? service : undefined,
    )
  ).filter((each) => each !== undefined);
  yield denied.length === 0
    ? fine('policy', 'qrexec policy', `all ${requests.length} services that were tested answer`)
    : wrong(
        'policy-denied',
        'qrexec policy',
        `dom0 has the contracts and grants them, but its policy denies ${denied.join(', ')}`,
        'If the policy is older than the contracts or qmcp.toml, run in dom0: qmcp-admin policy install. If a policy file that sorts before 30-qmcp.policy denies it on purpose, leave the tool out here with tools.exclude or a preset.',
      );
  if (qubeList === undefined) return;
  if (qubeList.qubes.length === 0)
    yield fine(
      'qubes',
      'qubes',
      'the world has no qubes',
      'To add the first one, run in dom0: qmcp-admin enroll NAME --world WORLD.',
    );
  else
    yield fine(
      'qubes',
      'qubes',
      `${qubeList.qubes.length} in the world, ${running(qubeList).length} running`,
    );
  for (const service of services.filter(({ kind }) => kind === 'guest'))
    yield* guests(service, qubeList, call);
}

/** A few calls at a time, because the world's limit on concurrent calls is shared with agents that may be working. */
async function inBatches<A, B>(all: readonly A[], act: (one: A) => Promise<B>): Promise<B[]> {
  const done: B[] = [];
  for (let from = 0; from < all.length; from += CONCURRENT_CALLS)
    done.push(...(await Promise.all(all.slice(from, from + CONCURRENT_CALLS).map(act))));
  return done;
}

/** A target that works whatever the tiers of the qubes: dom0, or any qube for a service that only reads. */
function targetOf(service: Service, qubeList: QubeList | undefined): string | undefined {
  if (service.kind === 'host' || service.kind === 'stream') return DOM0;
  if (service.kind === 'target' && service.capability === 'read') return qubeList?.qubes[0]?.name;
  return undefined;
}

async function* guests(
  { name }: Service,
  qubeList: QubeList,
  call: (target: string, service: string) => Promise<QrexecResult>,
): AsyncGenerator<Finding> {
  const up = running(qubeList);
  if (up.length === 0) {
    yield fine('guest', name, 'not tested, because no qube of the world is running');
    return;
  }
  for (const qube of up) {
    const { exit } = await call(qube, name);
    if (exit === 126) yield fine('guest', name, `not allowed on ${qube}: its tier is too low`);
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

const running = ({ qubes }: QubeList): string[] =>
  qubes.filter(({ state }) => state === 'running').map(({ name }) => name);

function replyOf({ stdout }: QrexecResult): { ok?: unknown; result?: unknown; error?: { code?: unknown } } {
  try {
    return JSON.parse(new TextDecoder().decode(stdout)) ?? {};
  } catch {
    return {};
  }
}

const codeOf = (result: QrexecResult): unknown => replyOf(result).error?.code;

function qubeListOf(result: QrexecResult): QubeList | undefined {
  const { ok, result: value } = replyOf(result);
  return ok === true ? (value as QubeList) : undefined;
}
