/** What every file of tests begins with: the Python programs it starts are forked, unless it says otherwise. */
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
