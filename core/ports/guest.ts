import {
  type GuestIo,
  type GuestProblems,
  type GuestService,
  type Port,
  Refused,
  refuseUnusableText,
} from '../api/index.js';
import { Compile } from '../vendor/typebox.js';
import { BrokenFraming, type Frame, FrameDecoder, inputFrames } from './frames.js';
import { addressed, qubeName, requestedSeconds } from './messages.js';
import type { Qrexec } from './qrexec.js';
import { requestOf } from './request.js';
import { waitFor } from './scope.js';
import { isObject, lazily, own } from './values.js';

/** Bytes a qube may send in one call, streamed and dropped by whoever listens; a flood beyond it ends the call. */
const MAX_OUTPUT = 268_435_456;
const TOO_MUCH = { at: '/', problem: `printed more than ${MAX_OUTPUT} bytes and was stopped` };
/** Seconds a service in a qube may take if the call does not say. */
const DEFAULT_SECONDS = 60;

/**
 * The port of a service inside a qube. Only the policy decides whether the call arrives; a denied call looks like a call to a
 * qube that does not exist. An answer with broken framing is not trusted.
 */
export function guestPort<S extends GuestService>(service: S, qrexec: Qrexec, timeout: number): Port<S> {
  const reply = lazily(() => Compile(service.reply));
  const port = async (qube: string, params: unknown, io: GuestIo = {}) => {
    const target = qubeName(qube);
    const request = requestLine(params);
    const stdin = Buffer.concat([request, Buffer.from('\n'), ...inputFrames(io.stdin ?? new Uint8Array())]);
    const digest = service.digestInArgument ? `+${await sha256(request)}` : '';
    const conversation = new Conversation(service.problems, io.onOutput);
    const signal = AbortSignal.any([conversation.broken, ...(io.signal ? [io.signal] : [])]);
    const { ended } = await waitFor(`the qube ${target}`, () =>
      qrexec.call({
        target,
        service: addressed(service.name, target) + digest,
        stdin,
        keepStdinOpen: true,
        signal,
        timeout: io.timeout ?? timeout + (requestedSeconds(params) || DEFAULT_SECONDS),
        maxBytes: MAX_OUTPUT,
        onStdout: (bytes) => conversation.receive(bytes),
      }),
    );
    if (ended === 'overflow') throw new Refused('failed', { problems: [TOO_MUCH] });
    const value = conversation.result(ended === 'timeout');
    if (!reply().Check(value)) throw new Refused('failed');
    return value;
  };
  return port as unknown as Port<S>;
}

/** The request, without its newline. After it come the frames of the program's standard input, the last of them empty. */
function requestLine(params: unknown): Uint8Array {
  refuseUnusableText(params);
  return requestOf(params, 1);
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', Uint8Array.from(bytes));
  return Buffer.from(digest).toString('hex');
}

/** What a qube has sent so far in one call. */
class Conversation {
  private readonly decoder = new FrameDecoder();
  private readonly breaker = new AbortController();
  private silent = true;
  private last: Frame | undefined;

  constructor(
    private readonly problems: GuestProblems,
    private readonly onOutput: GuestIo['onOutput'],
  ) {}

  /** Aborted as soon as the framing breaks: nothing after that can be trusted. */
  get broken(): AbortSignal {
    return this.breaker.signal;
  }

  receive(bytes: Uint8Array): void {
    this.silent = false;
    try {
      for (const frame of this.decoder.push(bytes)) {
        if (frame.kind === 'stdout' || frame.kind === 'stderr') this.onOutput?.(frame.kind, frame.bytes);
        else this.last = frame;
      }
    } catch (error) {
      this.breaker.abort(error);
    }
  }

  /** The reply's value. Throws the refusal: `not-found` if nothing came, `no-answer` if nothing came in time, `failed` if the conversation broke off. */
  result(isTimedOut: boolean): unknown {
    if (this.silent) throw new Refused(isTimedOut ? 'no-answer' : 'not-found');
    const { aborted, reason } = this.broken;
    // In our words, and of the qube's only the number of a byte.
    if (aborted && reason instanceof BrokenFraming)
      throw new Refused('failed', {
        problems: [{ at: '/', problem: `was answered with ${reason.message}` }],
      });
    if (aborted || !this.decoder.complete || this.last === undefined) throw new Refused('failed');
    const untrusted_value = parse(this.last.bytes);
    if (this.last.kind === 'reply') return untrusted_value;
    const { code: untrusted_code, problem: untrusted_problem } = isObject(untrusted_value)
      ? untrusted_value
      : {};
    const code = GUEST_CODES.find((one) => one === untrusted_code);
    if (code === undefined) throw new Refused('failed');
    // The qube's own text is never passed on. A word that the service declares stands for a sentence of the plugin.
    const found = typeof untrusted_problem === 'string' ? own(this.problems, untrusted_problem) : undefined;
    if (found === undefined) throw new Refused(code);
    const [at, problem, instead] = found;
    throw new Refused(instead ?? code, { problems: [{ at, problem }] });
  }
}

/** The codes that a qube can refuse with. Only dom0 can use the others, such as `frozen` or `over-budget`. */
const GUEST_CODES = ['invalid-request', 'not-found', 'not-permitted', 'conflict'] as const;

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new Refused('failed');
  }
}
