// Generated from dom0/spec/refusals.toml by `npm run generate`.
export const REFUSALS = Object.freeze({
  'invalid-request': {
    means: "Shape only: it depends on nothing but the caller's bytes.",
    agent: 'The request is malformed; check the arguments against the tool schema.',
    operator: 'The server and dom0 disagree about a service: qmcp doctor compares them.',
    data: ['rule'],
  },
  'not-found': {
    means: 'Missing, out of scope, under tier, guarded or removed: identical.',
    agent: 'There is no such qube here, or this is not available for it; use qube_list to see what there is.',
    operator: 'qmcp-admin status shows the tier of each qube; qmcp-admin enroll adds one.',
    data: [],
  },
  'name-not-allowed': {
    means: 'Shape only, before any look-up.',
    agent: 'That name is not allowed; choose one that starts with the prefix qube_list shows.',
    operator: 'The prefix is in qmcp.toml.',
    data: [],
  },
  'name-taken': {
    means: "Only ever about the world's own prefix.",
    agent: 'A qube of that name already exists; choose another name.',
    operator: 'qmcp-admin tombstones lists the removed qubes, which keep their names.',
    data: [],
  },
  'not-permitted': {
    means: 'A value refused whatever the host looks like.',
    agent: 'That value is not permitted here, whatever the state of the qube; do not retry it.',
    operator: 'The ceilings are in qmcp.toml; qmcp-admin world shows them.',
    data: ['rule'],
  },
  'gateway-unusable': {
    means:
      'The gateway of the qube is not what qmcp.toml says: it should apply outbound rules, or anonymise, and cannot.',
    agent:
      'The gateway of this qube cannot be used now; go on without a network, or with qubes on another gateway. egress_status shows them.',
    operator: 'qmcp-admin gateway list says why; qmcp-admin check says how to fix it.',
    data: [],
  },
  'over-budget': {
    means: 'A limit of the world; the budget service says which.',
    agent: 'The budget does not allow this; free something first.',
    operator: 'qmcp-admin world shows each limit and its use; qmcp.toml sets it.',
    data: [],
  },
  'rate-limited': {
    means: 'Too many calls, or too many births, in too little time.',
    agent: 'Too many calls; wait a minute before trying again.',
    operator: 'calls_per_minute and creates_per_hour are in qmcp.toml.',
    data: [],
  },
  busy: {
    means:
      'Too many calls at once, a request that did not end in time, a host without enough memory for a start, a world that the operator changed during the call, or a qubesd that does not answer.',
    agent: 'Another call is working on this, or the host does not answer; try again shortly.',
    operator: 'concurrent_calls is in qmcp.toml. systemctl status qubesd says whether qubesd runs.',
    data: ['unfinished'],
  },
  frozen: {
    means: 'The operator stopped the world.',
    agent: 'The operator has frozen this world; nothing can be changed until it is thawed.',
    operator: 'qmcp-admin thaw lets calls have effects again.',
    data: [],
  },
  conflict: {
    means: 'The state of a qube in scope does not allow it.',
    agent: 'The qube is not in a state that allows this; look at qube_state and try again.',
    operator: 'qmcp-admin status shows the state of each qube.',
    data: [],
  },
  'not-approved': {
    means:
      "A step of a plan that no person has approved, whose approval is over, or that is not the plan's next one.",
    agent: 'No person has approved this step, or it is not the next one of its plan; plan_status shows why.',
    operator: 'qmcp-admin plan show has the plan and what was decided.',
    data: [],
  },
  failed: {
    means: 'Anything else. No detail: the operator has it in the journal of qmcpd.',
    agent: 'The call failed; the operator can find the reason. Look at qube_list before trying again.',
    operator:
      "journalctl -u qmcpd has the reason under the call's id; qmcp-admin audit show CALL has the call.",
    data: ['unfinished'],
  },
} as const);

export const SERVER_REFUSALS = Object.freeze({
  declined: {
    means:
      'The operator is asked before such calls, and this one was not let through. Only about a qube that the agent can list, or about dom0.',
    agent: 'The operator did not allow this; do not try it again unless the operator says so.',
    operator:
      "qmcp-admin ask lists what you are asked about; qmcp-admin audit show QUBE has the policy's decisions.",
    data: [],
  },
  unanswered: {
    means:
      'The operator is asked before such calls, and nothing came in time. An answer to the dialog that comes later has no effect.',
    agent:
      'The operator did not answer in time, or the call was not finished; look at the state before you try again.',
    operator:
      'Answer the dialog in time, raise qrexec.timeout, or end the question with qmcp-admin ask ... --off.',
    data: [],
  },
  'no-answer': {
    means: 'The server gave up waiting. Nothing is known about the call: it may still take effect.',
    agent:
      'No answer came in time, and the call may still take effect; look at the state before you try again.',
    operator: 'Raise qrexec.timeout; qmcp doctor shows whether dom0 answers.',
    data: [],
  },
} as const);
