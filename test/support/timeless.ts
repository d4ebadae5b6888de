import { startPythonWith } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';

const SCRIPT = packageFile('test/support/timeless.py');

/** For the simulated hosts that are started from now on no time goes by: timeless.py. Returns what lets it go by for others. */
export function timeless(): () => void {
  const plain = startPythonWith((words, options) => {
    const at = words.indexOf('qmcpd');
    return at < 0 ? plain(words, options) : plain(['-B', SCRIPT, ...words.slice(at + 1)], options);
  });
  return () => {
    startPythonWith(plain);
  };
}
