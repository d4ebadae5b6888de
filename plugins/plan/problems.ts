import type { GuestProblems } from '../../core/api/index.js';

/** Reasons for which a qube does not run an approved command: the argument each is about, and the sentence that the agent reads. */
export const PROBLEMS: GuestProblems = {
  'run-before': ['/digest', 'has a step that ran in the qube before, and does not run again'],
  'file-changed': ['/digest', 'pins a file that is not in the qube, or is not as it was approved'],
  'no-such-user': ['/digest', 'names a user that the qube does not have'],
  'too-many-commands': ['/digest', 'cannot run now: too many commands run in the qube'],
  'no-space': ['/digest', 'cannot run now: the qube has no space left'],
};
