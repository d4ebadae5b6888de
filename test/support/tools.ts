import { type Plugin, Refused, type ToolContext } from '../../core/api/index.js';
import { boot } from '../../core/boot/boot.js';
import { connectDom0 } from '../../core/boot/catalog.js';
import type { QrexecRequest, QrexecResult } from '../../core/ports/qrexec.js';
import { catalogOf, denied, FakeQrexec, ok } from './fake-host.js';

/** dom0's answers to services, by name: a result, or a complete answer. */
export type Answers = Readonly<Record<string, (request: QrexecRequest) => unknown>>;

const isAnswer = (value: unknown): value is QrexecResult =>
  typeof value === 'object' && value !== null && 'ended' in value;

/** The tools of one plugin with a dom0 that gives these answers and denies everything else. */
export async function toolsOf(plugin: Plugin, answers: Answers) {
  const qrexec = new FakeQrexec((request) => {
    if (request.service === 'qmcp.Catalog') return ok(catalogOf([plugin]));
    const answer = answers[nameOf(request.service)];
    if (answer === undefined) return denied;
    const value = answer(request);
    return isAnswer(value) ? value : ok(value);
  });
  const candidates = [{ origin: plugin.id, plugin }];
  const log: string[] = [];
  const host = await boot({
    candidates,
    ...connectDom0(qrexec, 5),
    onRefusal: 'exit',
    log: (line) => log.push(line),
  });
  qrexec.calls.length = 0;
  const progress: string[] = [];
  const context: ToolContext = {
    signal: new AbortController().signal,
    progress: (message) => progress.push(message),
  };
  /** The tool's result, or its refusal. */
  const outcome = async (name: string, input: unknown): Promise<unknown> => {
    const served = host.tools.find(({ tool }) => tool.name === name);
    if (served === undefined) throw new Error(`there is no tool ${name}`);
    try {
      return await served.call(input, context);
    } catch (error) {
      if (error instanceof Refused) return error;
      throw error;
    }
  };
  return {
    log,
    progress,
    /** The calls so far: target, service and parameters. */
    calls: () =>
      qrexec.calls.map(({ target, service, stdin }) => [
        target,
        nameOf(service),
        JSON.parse(Buffer.from(stdin).toString()),
      ]),
    /** The tool's result, or the code of its refusal. */
    async call(name: string, input: unknown): Promise<unknown> {
      const came = await outcome(name, input);
      return came instanceof Refused ? came.code : came;
    },
    outcome,
  };
}

/** The name of the service, without the argument of the call. */
const nameOf = (service: string) => service.split('+')[0]!;

/** dom0's description of a qube. */
export const stateOf = (name: string, changes: object = {}) => ({
  name,
  class: 'AppVM',
  state: 'halted',
  label: 'red',
  template: 'ai-debian',
  network: 'sys-ai-net',
  memory: 400,
  maxmem: 4000,
  vcpus: 2,
  disk: { size: 2 ** 31, used: 0 },
  features: [],
  ...changes,
});

export const listOf = (...names: string[]) => ({
  prefix: 'ai-',
  qubes: names.map((name) => ({ name, class: 'AppVM', state: 'halted' })),
});
