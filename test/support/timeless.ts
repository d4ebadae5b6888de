import { startPythonWith } from '../../sim/python.js';
import { packageFile } from '../../sim/root.js';

const SCRIPT = packageFile('test/support/timeless.py');

/** Stops the clock of every qmcpd that starts after this call: see timeless.py. Returns a function that ends this. */
export function timeless(): () => void {
  const plain = startPythonWith((words, options) => {
    const at = words.indexOf('qmcpd');
    return at < 0 ? plain(words, options) : plain(['-B', SCRIPT, ...words.slice(at + 1)], options);
  });
  return () => {
    startPythonWith(plain);
  };
}
