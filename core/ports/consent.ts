import { Refused } from '../api/index.js';
import { resultOf } from './messages.js';
import type { Qrexec, QrexecRequest, QrexecResult } from './qrexec.js';
import { waitFor } from './scope.js';
import { isObject } from './values.js';

const DOM0 = '@adminvm';
const LIST = 'qmcp.inspect.List';
/** qrexec's exit code for a person's no, and for everything else that the policy does not let through. */
const REFUSED = 126;
const SECONDS = 30;
const MAX_LIST = 4_194_304;

/** The services that the operator is asked about, by name, as dom0's catalog says. */
export type Questions = ReadonlyMap<string, { readonly isGuest: boolean }>;

/**
 * The calls that wait for the operator. It says so while they wait, and tells a no from a missing qube: qrexec answers both
 * alike, so a no is one only on a qube that dom0 lists for this agent. Nobody is asked about another one. Unlike other
 * connections, this one may reject: with a refusal.
 */
export class Consent implements Qrexec {
  constructor(
    private readonly qrexec: Qrexec,
    private readonly questions: Questions,
  ) {}

  async call(request: QrexecRequest): Promise<QrexecResult> {
    const question = this.questions.get(request.service.split('+')[0]!);
    if (question === undefined) return this.qrexec.call(request);
    let isSilent = true;
    const { onStdout } = request;
    const heard = onStdout && {
      onStdout: (bytes: Uint8Array) => {
        isSilent = false;
        onStdout(bytes);
      },
    };
    const result = await waitFor("the operator's answer", () => this.qrexec.call({ ...request, ...heard }));
    if (!isSilent || result.stdout.length > 0) return result;
    if (result.ended === 'timeout') throw new Refused('unanswered');
    if (result.exit === REFUSED && (await this.couldBeAsked(request.target, question.isGuest)))
      throw new Refused('declined');
    return result;
  }

  /** Whether the operator may have been asked: about dom0, or about a qube that is listed and, for a service in it, runs. */
  private async couldBeAsked(target: string, isGuest: boolean): Promise<boolean> {
    if (this.questions.has(LIST)) return false;
    const listed = await this.list();
    if (target === DOM0) return true;
    return listed.some(({ name, state }) => name === target && (!isGuest || state === 'running'));
  }

  /** Throws dom0's refusal, such as `frozen`: in a frozen world, nobody is asked. */
  private async list(): Promise<readonly Record<string, unknown>[]> {
    const request = { target: DOM0, service: LIST, stdin: new TextEncoder().encode('{}') };
    const untrusted_list = resultOf(
      await this.qrexec.call({ ...request, timeout: SECONDS, maxBytes: MAX_LIST }),
    );
    const qubes = isObject(untrusted_list) ? untrusted_list.qubes : undefined;
    return Array.isArray(qubes) ? qubes.filter(isObject) : [];
  }
}
