import { readFileSync } from 'node:fs';
import type { Api } from '../../host/api.js';

/** One exchange as recorded on a real host; bytes are Latin-1 text. */
export interface Exchange {
  readonly request: string;
  readonly response: string;
}

export function readRecording(file: string): Exchange[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as Exchange);
}

/** `METHOD+ARG SRC TYPE DEST` and the payload, without any check. */
export function partsOf(request: string): {
  method: string;
  argument: string;
  dest: string;
  payload: string;
} {
  const nul = request.indexOf('\0');
  const [call = '', , , ...dest] = request.slice(0, nul).split(' ');
  const plus = call.indexOf('+');
  return {
    method: plus < 0 ? call : call.slice(0, plus),
    argument: plus < 0 ? '' : call.slice(plus + 1),
    dest: dest.join(' '),
    payload: request.slice(nul + 1),
  };
}

/**
 * The release a recording was made on, recognized by replies that only one release gives: 4.2 lists no uuids, and only 4.4 names
 * protocol errors. If the contents do not show it, the file's name decides.
 */
export function releaseOf(exchanges: readonly Exchange[], file: string): Api {
  if (exchanges.some(({ response }) => /^2\0(ProtocolError|PermissionDenied)\0/.test(response))) return '4.4';
  const named = /4\.[234]/.exec(file.split('/').at(-1) ?? '')?.[0];
  if (named !== undefined) return named as Api;
  const list = exchanges.find(
    ({ request, response }) => request.startsWith('admin.vm.List') && response.startsWith('0\0dom0 '),
  );
  if (list === undefined) return '4.4';
  return list.response.includes(' uuid=') ? '4.3' : '4.2';
}
