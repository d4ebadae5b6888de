import { spawn } from 'node:child_process';
import { type PythonProcess, startPython } from '../sim/python.js';

/** The exit code and the output of a program. */
export interface ProcessResult {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a program to its end, with `stdin` as its standard input. */
export function run(command: string, words: readonly string[], stdin = ''): Promise<ProcessResult> {
  return waitForExit(spawn(command, words), stdin);
}

/** The same for a Python program: `words` follow `python3` on the command line. */
export function runPython(words: readonly string[], stdin = ''): Promise<ProcessResult> {
  return waitForExit(startPython(words, { stdio: ['pipe', 'pipe', 'pipe'] }), stdin);
}

function waitForExit(child: PythonProcess, input: string): Promise<ProcessResult> {
  const { stdin, stdout, stderr } = child;
  return new Promise((resolve, reject) => {
    let out = '';
    let err = '';
    stdout!.setEncoding('utf8');
    stdout!.on('data', (text: string) => {
      out += text;
    });
    stderr!.setEncoding('utf8');
    stderr!.on('data', (text: string) => {
      err += text;
    });
    stdin!.on('error', () => {});
    stdin!.end(input);
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}
