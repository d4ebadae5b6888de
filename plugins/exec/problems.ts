import type { GuestProblems } from '../../core/api/index.js';

/** The problem words of `guest/qmcp_guest`, each with the argument it is about and the sentence that the agent reads. */
export const PROBLEMS: GuestProblems = {
  'no-such-file': ['/path', 'does not exist in the qube', 'not-found'],
  'not-a-directory': ['/path', 'is not a directory'],
  'is-a-directory': ['/path', 'is a directory'],
  'not-a-file': ['/path', 'is not a regular file'],
  'access-denied': ['/user', 'may not do this'],
  'read-only': ['/path', 'cannot be written'],
  'no-space': ['/path', 'has no space left'],
  'link-loop': ['/path', 'leads through too many links'],
  'name-too-long': ['/path', 'is too long'],
  exists: ['/path', 'exists already'],
  'beyond-the-end': ['/offset', 'is beyond the end of the file'],
  'no-such-user': ['/user', 'does not exist in the qube'],
  'no-such-command': ['/handle', 'is not known in the qube any more'],
  'too-many-commands': ['/background', 'too many are running; stop one'],
  'no-package-manager': ['/qube', 'has no package manager that is known here'],
  'no-copy-here': ['/source', 'cannot send files'],
};
