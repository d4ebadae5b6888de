/** What can go wrong on a host during a call. Each function returns one that restores the host. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SERVICES } from '../../sim/guests/services.js';
import type { SimHost } from '../../sim/index.js';
import { serviceOf } from '../../sim/qrexec/call.js';
import type { Harness } from './harness.js';
import { until } from './waiting.js';

type Restore = () => void;

/** Holds the first call of this method to qubesd until it is released. */
export function holdFirst({ sim }: Harness, method: string): { arrived: Promise<void>; release(): void } {
  const { gate, release } = newGate();
  const arrived = new Promise<void>((resolve) => {
    const restore = replaceCall(sim, async (request, original) => {
      if (Buffer.from(request).toString('latin1').startsWith(`${method}+`)) {
        restore();
        resolve();
        await gate;
      }
      return original(request);
    });
  });
  return { arrived, release };
}

/** Every call to qubesd waits until it is released; `onCall` is told of each. */
export function holdAll({ sim }: Harness, onCall = () => {}): Restore {
  const { gate, release } = newGate();
  const restore = replaceCall(sim, async (request, original) => {
    onCall();
    await gate;
    return original(request);
  });
  return () => {
    restore();
    release();
  };
}

/** A tool call stays in progress until it is released. */
export async function occupyOneCall(harness: Harness): Promise<() => Promise<void>> {
  await harness.agent();
  let release = () => {};
  let call: Promise<unknown> = Promise.resolve();
  await new Promise<void>((reached) => {
    release = holdAll(harness, reached);
    call = harness.tool('qube_list', {});
  });
  return async () => {
    release();
    await call;
  };
}

/** Uses up the calls of this minute; others may have been used before. */
export async function useUpCalls(harness: Harness): Promise<void> {
  while ((await harness.tool('qube_list', {})).code !== 'rate-limited');
}

/** The operator freezes the world. */
export function freeze({ sim }: Harness): Restore {
  const folder = join(sim.root, 'var/lib/qmcp/frozen');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'ai'), '');
  return () => rmSync(join(folder, 'ai'), { force: true });
}

/** qubesd refuses every call about a qube, in words that must not reach the agent. */
export function breakQubesd({ sim }: Harness): Restore {
  const message = 'vault is in lvm:qubes_dom0/vm-vault-private at 10.137.0.9';
  return sim.host.faults.add({ method: 'admin.vm.*', error: { type: 'QubesException', message } });
}

/** No call reaches anybody. */
export function closePolicy({ sim, folder }: Harness): Restore {
  const policy = join(sim.root, 'etc/qubes/policy.d/30-qmcp.policy');
  const aside = join(folder, 'policy');
  renameSync(policy, aside);
  return () => renameSync(aside, policy);
}

/** Every call of a service inside a qube gets this answer. */
export function answerForQubes({ sim: { qrexec } }: Harness, reply: Uint8Array): Restore {
  const original = qrexec.call.bind(qrexec);
  qrexec.call = async (call, io) => {
    const { service, argument } = serviceOf(call.service);
    const answers = Object.hasOwn(SERVICES, service) && qrexec.allows({ ...call, service, argument });
    if (!answers) return original(call, io);
    io.stdout(reply);
    return 0;
  };
  return () => {
    qrexec.call = original;
  };
}

/** The operator pauses that qube as soon as it has started. */
export function pauseOnceStarted(harness: Harness, qube: string): Restore {
  const restore = replaceCall(harness.sim, async (request, original) => {
    const reply = await original(request);
    if (
      harness.named(Buffer.from(request).toString('latin1')).startsWith(`admin.vm.Start+ dom0 name ${qube}\0`)
    ) {
      restore();
      await harness.operator('admin.vm.Pause', qube);
    }
    return reply;
  });
  return restore;
}

/** Aborts the signal at that request to qubesd, counted from 1; 0 is before the first. */
export function abortAtRequest(
  { sim }: Harness,
  request: number | undefined,
): { readonly signal: AbortSignal; readonly restore: Restore } {
  const controller = new AbortController();
  let count = 0;
  if (request === 0) controller.abort();
  const restore = replaceCall(sim, (bytes, original) => {
    count += 1;
    if (count === request) controller.abort();
    return original(bytes);
  });
  return { signal: controller.signal, restore };
}

/** Records the services that are called through qrexec, and whether they have answered. */
export class ServiceCalls {
  private readonly calls: { readonly service: string; answered: boolean }[] = [];
  readonly restore: Restore;

  constructor({ sim: { qrexec } }: Harness) {
    const original = qrexec.call.bind(qrexec);
    qrexec.call = async (call, io) => {
      const record = { service: serviceOf(call.service).service, answered: false };
      this.calls.push(record);
      const exit = await original(call, io);
      record.answered = !io.signal.aborted;
      return exit;
    };
    this.restore = () => {
      qrexec.call = original;
    };
  }

  /** Resolves with the service for which a call waits (the given one, if any), or with undefined when the call ends first. */
  async waitedFor(
    calling: Promise<unknown>,
    service?: string,
  ): Promise<{ readonly answered: boolean } | undefined> {
    let ended = false;
    calling.then(() => {
      ended = true;
    });
    const waiting = () =>
      this.calls.find((call) => !call.answered && call.service === (service ?? call.service));
    await until(() => ended || waiting());
    return ended ? undefined : waiting();
  }
}

type Call = SimHost['host']['call'];

/** Replaces qubesd's answers. Requests of an earlier replacement reach this one first. */
export function replaceCall(
  { host }: SimHost,
  replacement: (request: Uint8Array, original: Call) => ReturnType<Call>,
): Restore {
  const original = host.call.bind(host);
  host.call = (request) => replacement(request, original);
  return () => {
    host.call = original;
  };
}

function newGate(): { readonly gate: Promise<void>; readonly release: () => void } {
  let release = () => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  return { gate, release };
}
