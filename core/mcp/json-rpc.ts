/** Bytes from a client as messages of JSON-RPC, and the errors that answer those which are none. */
import {
  isJSONRPCNotification,
  isJSONRPCRequest,
  isJSONRPCResponse,
  type JSONRPCMessage,
  ProtocolErrorCode,
  type RequestId,
} from '../vendor/mcp.js';

/** An error in place of a response. Its id is null if the request has none that can be told. */
export interface ErrorReply {
  readonly jsonrpc: '2.0';
  readonly id: RequestId | null;
  readonly error: { readonly code: number; readonly message: string };
}

export function errorReply(id: RequestId | null, code: number, message: string): ErrorReply {
  return { jsonrpc: '2.0', id, error: { code, message } };
}

export const invalidRequest = (id: RequestId | null, message: string): ErrorReply =>
  errorReply(id, ProtocolErrorCode.InvalidRequest, message);

/** A message for the server, or what to answer in its place: nothing to a response, or the two sides could go on for ever. */
export type Received = { readonly message: JSONRPCMessage } | { readonly reply: ErrorReply | undefined };

/** The value of a line: one message or a list. Throws the error that answers a line which is no JSON. */
export function parseLine(bytes: Uint8Array): unknown {
  try {
    // The decoder drops a byte order mark.
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw new NotJson(errorReply(null, ProtocolErrorCode.ParseError, 'The line is not JSON in UTF-8'));
  }
}

export class NotJson extends Error {
  override readonly name = 'NotJson';
  constructor(readonly reply: ErrorReply) {
    super(reply.error.message);
  }
}

export function receive(untrusted_value: unknown): Received {
  if (isMessage(untrusted_value)) return { message: untrusted_value };
  if (typeof untrusted_value !== 'object' || untrusted_value === null || Array.isArray(untrusted_value))
    return { reply: invalidRequest(null, 'A message is a JSON object') };
  const { id, method, params, jsonrpc } = untrusted_value as Record<string, unknown>;
  if (method === undefined && ('result' in untrusted_value || 'error' in untrusted_value))
    return { reply: undefined };
  const known = typeof id === 'string' || Number.isSafeInteger(id) ? (id as RequestId) : null;
  const fault =
    (jsonrpc !== '2.0' && 'jsonrpc must be "2.0"') ||
    ('id' in untrusted_value && known === null && 'id must be a string or a whole number') ||
    (typeof method !== 'string' && 'method must be a string') ||
    (params !== undefined && !isObject(params) && 'params must be an object, or absent') ||
    'it has members that a message does not have, or a malformed _meta';
  return { reply: invalidRequest(known, `The message is malformed: ${fault}`) };
}

const isMessage = (value: unknown): value is JSONRPCMessage =>
  isJSONRPCRequest(value) || isJSONRPCNotification(value) || isJSONRPCResponse(value);

const isObject = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * The id of a message of which only the ends are known. It is told only where it must be a member of the message itself: at the
 * beginning, before any other object opens, or at the very end.
 */
export function idAtEnds(head: Uint8Array, tail: Uint8Array): RequestId | null {
  const [first, last] = [Buffer.from(head).toString('latin1'), Buffer.from(tail).toString('latin1')];
  const found =
    /^\s*\{[^{}[\]]*?"id"\s*:\s*("[^"\\]*"|-?\d+)\s*,/.exec(first) ??
    /[,{]\s*"id"\s*:\s*("[^"\\]*"|-?\d+)\s*\}\s*$/.exec(last);
  return found ? (JSON.parse(found[1]!) as RequestId) : null;
}
