/** `qmcp.plan.Approved` for guests without processes. */
import { createHash } from 'node:crypto';
import { LIMITS } from '../../core/api/generated/limits.js';
import { Type } from '../../core/vendor/typebox.js';
import type { ServiceCall } from './guest.js';
import type { MemoryGuest } from './memory-guest.js';
import { accountOf, answer, conflict, Refusal, User } from './protocol.js';

/** What ran, by the SHA-256 of its request: on the private disk, so that a restart of the qube forgets nothing. */
const MARKS = '/rw/qmcp/approved';
const Digest = Type.String({ pattern: '^[0-9a-f]{64}$' });

export function planApproved(guest: MemoryGuest, call: ServiceCall): Promise<number> {
  const shape = {
    qube: Type.String({ minLength: 1 }),
    command: Type.Union([Type.String({ minLength: 1 }), Type.Array(Type.String(), { minItems: 1 })]),
    input: Type.Optional(Type.String()),
    user: User,
    cwd: Type.Optional(Type.String({ minLength: 1 })),
    timeout: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.command_seconds })),
    files: Type.Optional(
      Type.Array(
        Type.Object({ path: Type.String({ minLength: 1 }), sha256: Digest }, { additionalProperties: false }),
      ),
    ),
    output: Type.Enum(['agent', 'nobody']),
    plan: Digest,
    step: Type.Integer({ minimum: 1, maximum: LIMITS.plan_steps }),
    key: Type.String({ minLength: 1 }),
  };
  return answer(call, shape, async (request, _body, send, signal, line) => {
    const { qube, command, input = '', user = 'user', cwd, files = [], output } = request;
    const digest = sha256(Buffer.from(line));
    if (call.argument !== `${qube}+${digest}`) throw new Refusal('invalid-request');
    if (await guest.fs.exists(`${MARKS}/${digest}`)) throw conflict('run-before');
    await guest.fs.mkdir(MARKS, { recursive: true });
    await guest.fs.writeFile(`${MARKS}/${digest}`, '');
    for (const { path, sha256: pinned } of files)
      if ((await found(guest, path)) !== pinned) throw conflict('file-changed');
    accountOf(user);
    const started = { command, user, stdin: Buffer.from(input), ...(cwd !== undefined && { cwd }) };
    const id = guest.jobs.launch(guest, started, request.timeout ?? LIMITS.default_command_seconds);
    const job = guest.jobs.find(id);
    const sent = { stdout: 0, stderr: 0 };
    const isNew = () => sent.stdout < job.buffers.stdout.length || sent.stderr < job.buffers.stderr.length;
    for (let over = false; !over && !signal.aborted; ) {
      await job.until(() => output === 'agent' && isNew(), WAIT, signal);
      over = !job.state().running;
      for (const stream of ['stdout', 'stderr'] as const) {
        const bytes = job.buffers[stream].subarray(sent[stream]);
        sent[stream] += bytes.length;
        if (output === 'agent' && bytes.length > 0) send(stream === 'stdout' ? 'O' : 'E', bytes);
      }
    }
    const { running: _, ...outcome } = job.state();
    return outcome;
  });
}

/** Longer than any command takes. */
const WAIT = 2 * LIMITS.command_seconds * 1000;

async function found(guest: MemoryGuest, path: string): Promise<string | undefined> {
  try {
    return sha256(await guest.fs.readFileBuffer(path));
  } catch {
    return undefined;
  }
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
