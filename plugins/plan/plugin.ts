import {
  definePlugin,
  defineTool,
  describedInput,
  invalidAt,
  LIMITS,
  NoParams,
  QubeName,
  refuseUnusableText,
  type Static,
  Type,
} from '../../core/api/index.js';
import { RunResult } from './result.js';
import { PlanRun } from './run.js';
import * as services from './services.js';

const { propose, status, withdraw, runStep, approved, done, Digest } = services;

const { command, input, user, cwd, timeout, files } = approved.params.properties;
const PinnedFile = describedInput(files.items.properties, {
  path: 'absolute path in the qube',
  sha256: 'in hexadecimal',
});
const PlanStep = describedInput(
  {
    service: Type.Optional(Type.String({ pattern: '^qmcp[.][a-z][a-z0-9]*[.][A-Za-z]+$', maxLength: 72 })),
    target: Type.Optional(QubeName),
    params: Type.Optional(Type.String({ maxLength: LIMITS.request_bytes })),
    qube: Type.Optional(QubeName),
    ...{ command: Type.Optional(command), input, user, cwd, timeout },
    files: Type.Optional(Type.Array(PinnedFile, { maxItems: LIMITS.pinned_files })),
  },
  {
    service: 'a service of dom0, such as qmcp.spawn.Remove; or else give qube and command',
    target: 'the qube that the service is called on, if it takes one',
    params: { description: 'the parameters of the service, as JSON', default: '{}' },
    qube: 'the running qube in which to run command',
    command: 'a script for /bin/sh, or a program and its arguments',
    input: 'text for its standard input',
    user: { description: 'the user who runs it', default: 'user' },
    cwd: 'the directory to run it in; the home directory of the user if absent',
    timeout: `seconds until it is killed; ${LIMITS.default_command_seconds} if absent`,
    files: 'files that it reads or runs, each with its SHA-256: it runs only if they are still so',
  },
);

/** A step as dom0 takes it: a call of a service, or a command in a qube. */
function callOf(step: Static<typeof PlanStep>, at: string): object {
  if ((step.service === undefined) === (step.qube === undefined || step.command === undefined))
    throw invalidAt(at, 'needs either service, or qube and command');
  if (step.service === undefined) return step;
  return { ...step, params: parsed(step.params ?? '{}', `${at}/params`) };
}

function parsed(text: string, at: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidAt(at, 'must be JSON');
  }
}

const DIGEST = 'the digest from plan_propose';

export default definePlugin({
  id: 'plan',
  apiVersion: 1,
  title: 'Plans that a person approves',
  instructions: [
    'If you lack the rights for a change, propose it with plan_propose: a person may approve it.',
  ],
  services: [propose, status, withdraw, runStep, done, approved],
  tools: [
    defineTool({
      name: 'plan_propose',
      title: 'Propose a plan',
      description:
        'Asks a person to approve steps, also those beyond your rights on a qube. Nothing happens yet. Without a digest in the answer, a step would be refused whatever a person says, and nothing was kept.',
      effect: 'write',
      idempotent: true,
      input: describedInput(
        {
          title: Type.String({ minLength: 1, maxLength: LIMITS.plan_title }),
          reason: Type.String({ minLength: 1, maxLength: LIMITS.plan_reason }),
          steps: Type.Array(PlanStep, { minItems: 1, maxItems: LIMITS.plan_steps }),
        },
        {
          title: 'what the plan does, in one line',
          reason: 'why, for the person who decides',
          steps: 'what to do, in order; a step that fails ends the plan',
        },
      ),
      output: propose.reply,
      uses: { propose },
      upholds: propose.invariants,
      run: ({ propose }, plan, { signal }) => {
        refuseUnusableText(plan);
        const steps = plan.steps.map((step, index) => callOf(step, `/steps/${index}`));
        return propose({ plan: JSON.stringify({ ...plan, steps }) }, signal);
      },
    }),
    defineTool({
      name: 'plan_status',
      title: 'Show your plans',
      description: 'Shows a plan, or all of yours. wait: seconds to wait for a decision.',
      effect: 'read',
      input: describedInput(
        { digest: status.params.properties.digest, wait: status.params.properties.wait },
        { digest: `${DIGEST}; all plans if absent`, wait: { description: 'seconds to wait', default: 0 } },
      ),
      output: status.reply,
      uses: { status },
      upholds: status.invariants,
      run: ({ status }, input, { signal }) => status(input, signal),
    }),
    defineTool({
      name: 'plan_run',
      title: 'Run an approved plan',
      description:
        'Runs the steps of an approved plan that are left, in order, until one fails. Each runs once at most.',
      effect: 'destroy',
      openWorld: true,
      slow: true,
      input: describedInput({ digest: Digest }, { digest: DIGEST }),
      output: RunResult,
      uses: { status, runStep, approved, done },
      upholds: runStep.invariants,
      handler: PlanRun,
    }),
    defineTool({
      name: 'plan_withdraw',
      title: 'Withdraw a plan',
      description: 'Deletes a plan that you proposed, approved or not.',
      effect: 'write',
      input: describedInput({ digest: Digest }, { digest: DIGEST }),
      output: NoParams,
      uses: { withdraw },
      upholds: withdraw.invariants,
      run: ({ withdraw }, { digest }, { signal }) => withdraw({ digest }, signal),
    }),
  ],
});
