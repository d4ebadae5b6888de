import { type ApiError, NoReply } from '../host/errors.js';
import { type HostEvent, pythonStr } from '../host/events.js';

/** The daemon reads at most this many bytes. */
export const MAX_REQUEST = 65536;

/** A parsed request: only its shape has been checked. */
export interface Request {
  readonly method: string;
  readonly argument: string;
  readonly source: string;
  readonly destination: string;
  readonly payload: Uint8Array;
}

/** `METHOD[+ARG] SRC TYPE DEST\0PAYLOAD`. Anything else is a framing error, which gets an empty reply. */
export function parseRequest(untrusted_bytes: Uint8Array): Request {
  if (untrusted_bytes.length > MAX_REQUEST) throw new NoReply('request too long');
  const nul = untrusted_bytes.indexOf(0);
  if (nul < 0) throw new NoReply('no header');
  const header = Buffer.from(untrusted_bytes.subarray(0, nul));
  if (header.some((byte) => byte > 127)) throw new NoReply('header is not ASCII');
  const parts = header.toString('latin1').split(' ');
  const [call, source, type] = parts;
  if (call === undefined || source === undefined || type === undefined || parts.length < 4) {
    throw new NoReply('header has too few parts');
  }
  const destination = parts.slice(3).join(' ');
  const plus = call.indexOf('+');
  const method = plus < 0 ? call : call.slice(0, plus);
  const argument = plus < 0 ? '' : call.slice(plus + 1);
  const payload = untrusted_bytes.slice(nul + 1);
  if (type === 'keyword') {
    if (destination !== 'adminvm') throw new NoReply(`keyword ${destination}`);
    return { method, argument, source, destination: 'dom0', payload };
  }
  if (type !== 'name') throw new NoReply(`destination type ${type}`);
  return { method, argument, source, destination, payload };
}

export function okReply(data: string | Uint8Array = ''): Uint8Array {
  return Buffer.concat([Buffer.from('0\0'), typeof data === 'string' ? Buffer.from(data, 'utf8') : data]);
}

export function errorReply(error: ApiError): Uint8Array {
  return Buffer.from(`2\0${error.type}\0\0${error.message}\0`, 'utf8');
}

export function eventReply(
  subject: string,
  name: string,
  args: readonly (readonly [string, string])[],
): Uint8Array {
  const fields = args.map(([key, value]) => `${key}\0${value}\0`).join('');
  return Buffer.from(`1\0${subject}\0${name}\0${fields}\0`, 'utf8');
}

export function hostEventReply({ subject, name, args }: HostEvent): Uint8Array {
  return eventReply(
    subject?.name ?? '',
    name,
    Object.entries(args).map(([key, value]) => [key, pythonStr(value)] as const),
  );
}

/** Encodes a request. */
export function encodeRequest(
  method: string,
  dest: string,
  options: { argument?: string; source?: string; payload?: string | Uint8Array } = {},
): Uint8Array {
  const { argument = '', source = 'dom0', payload = '' } = options;
  return Buffer.concat([
    Buffer.from(`${method}+${argument} ${source} name ${dest}\0`, 'latin1'),
    typeof payload === 'string' ? Buffer.from(payload, 'utf8') : payload,
  ]);
}

export type Reply =
  | { readonly kind: 'ok'; readonly data: string }
  | { readonly kind: 'error'; readonly type: string; readonly message: string }
  | { readonly kind: 'none' };

export function decodeReply(bytes: Uint8Array): Reply {
  const text = Buffer.from(bytes).toString('utf8');
  if (text.startsWith('0\0')) return { kind: 'ok', data: text.slice(2) };
  const [status, type = '', , message = ''] = text.split('\0');
  return status === '2' ? { kind: 'error', type, message } : { kind: 'none' };
}
