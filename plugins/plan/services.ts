import {
  axioms,
  defineGuestService,
  defineHostService,
  LIMITS,
  NoParams,
  QubeName,
  step,
  Type,
} from '../../core/api/index.js';
import { PROBLEMS } from './problems.js';

const { planApproved, policyClosed } = axioms;
const closed = { additionalProperties: false };
const planned = { invariants: [planApproved] } as const;

/** The SHA-256 of a plan: its name. */
export const Digest = Type.String({ pattern: '^[0-9a-f]*$', minLength: 64, maxLength: 64 });
/** The first step of a plan has number 1. */
const StepNumber = Type.Integer({ minimum: 1, maximum: LIMITS.plan_steps });
const Exit = Type.Integer({ minimum: 0, maximum: 255 });
const WaitSeconds = Type.Integer({ minimum: 0, maximum: LIMITS.plan_wait_seconds });
const Code = Type.String({ maxLength: 32 });

export const Verdict = Type.Enum(['allowed', 'needs approval', 'would be refused']);
export const PlanState = Type.Enum([
  'proposed',
  'approved',
  'rejected',
  'revoked',
  'expired',
  'done',
  'failed',
]);
export const StepState = Type.Enum(['waiting', 'begun', 'done', 'failed', 'interrupted']);

/** Keeps a plan, unless one of its steps would be refused whatever a person says; its name is then null. */
export const propose = defineHostService('qmcp.plan.Propose', {
  ...planned,
  effect: 'write',
  params: Type.Object({ plan: Type.String({ minLength: 2, maxLength: LIMITS.request_bytes }) }, closed),
  steps: [step.plan_propose({ plan: '$plan' })],
  reply: Type.Object(
    {
      digest: Type.Union([Digest, Type.Null()]),
      steps: Type.Array(
        Type.Object({ number: StepNumber, verdict: Verdict, code: Type.Optional(Code) }, closed),
        { maxItems: LIMITS.plan_steps },
      ),
    },
    closed,
  ),
});

/** One plan of the caller, or all of them. */
export const status = defineHostService('qmcp.plan.Status', {
  ...planned,
  effect: 'read',
  params: Type.Object({ digest: Type.Optional(Digest), wait: Type.Optional(WaitSeconds) }, closed),
  steps: [step.plan_status({ digest: '$digest', wait: '$wait' })],
  reply: Type.Object(
    {
      plans: Type.Array(
        Type.Object(
          {
            digest: Digest,
            title: Type.String({ maxLength: LIMITS.plan_title }),
            state: PlanState,
            /** Seconds since 1970 at which nobody can approve it any more. */
            expires: Type.Integer(),
          },
          closed,
        ),
      ),
      /** Of the plan that was asked for. */
      steps: Type.Optional(Type.Array(StepState)),
    },
    closed,
  ),
});

export const withdraw = defineHostService('qmcp.plan.Withdraw', {
  ...planned,
  effect: 'write',
  params: Type.Object({ digest: Digest }, closed),
  steps: [step.plan_withdraw({ digest: '$digest' })],
  reply: NoParams,
});

/** Carries out one step from dom0's copy of the plan. For a command in a qube, it answers with the request that the qube lets through. */
export const runStep = defineHostService('qmcp.plan.Step', {
  ...planned,
  effect: 'destroy',
  params: Type.Object({ digest: Digest, number: StepNumber }, closed),
  steps: [step.plan_step({ digest: '$digest', number: '$number' })],
  reply: Type.Object({ result: Type.Optional(Type.String()), request: Type.Optional(Type.String()) }, closed),
});

export const done = defineHostService('qmcp.plan.Done', {
  ...planned,
  effect: 'write',
  params: Type.Object({ digest: Digest, number: StepNumber, exit: Type.Optional(Exit) }, closed),
  steps: [step.plan_done({ digest: '$digest', number: '$number', exit: '$exit' })],
  reply: NoParams,
});

const Text = Type.String({ maxLength: LIMITS.plan_command });

/** Runs a command in a qube, if these very bytes were approved for that qube and have not come before. */
export const approved = defineGuestService('qmcp.plan.Approved', {
  effect: 'destroy',
  capability: 'exec',
  invariants: [policyClosed],
  problems: PROBLEMS,
  digestInArgument: true,
  params: Type.Object(
    {
      qube: QubeName,
      plan: Digest,
      step: StepNumber,
      key: Type.String({ maxLength: 64 }),
      command: Type.Union([Text, Type.Array(Text, { minItems: 1, maxItems: LIMITS.plan_words })]),
      input: Type.Optional(Text),
      user: Type.Optional(Type.String({ pattern: '^[a-z_][a-z0-9_-]*$', maxLength: 32 })),
      cwd: Type.Optional(Type.String({ minLength: 1, maxLength: LIMITS.path_characters })),
      timeout: Type.Optional(Type.Integer({ minimum: 1, maximum: LIMITS.command_seconds })),
      files: Type.Optional(
        Type.Array(
          Type.Object(
            { path: Type.String({ minLength: 1, maxLength: LIMITS.path_characters }), sha256: Digest },
            closed,
          ),
          { maxItems: LIMITS.pinned_files },
        ),
      ),
      output: Type.Enum(['agent', 'nobody']),
    },
    closed,
  ),
  reply: Type.Object(
    {
      exit: Type.Union([Type.Integer(), Type.Null()]),
      signal: Type.Union([Type.String({ pattern: '^SIG[A-Z0-9]*$', maxLength: 16 }), Type.Null()]),
      timed_out: Type.Boolean(),
    },
    closed,
  ),
});
