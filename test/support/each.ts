/** Runs before every file of tests: Python programs are forked, unless the file says otherwise. */
import { afterAll, inject } from 'vitest';
import { startPythonWith } from '../../sim/python.js';
import { Forks } from './forks.js';

let forks: Forks | undefined;
startPythonWith((words, options) => {
  forks ??= new Forks(inject('forks'));
  return forks.start(words, options);
});
afterAll(() => {
  forks?.stop();
  forks = undefined;
});
