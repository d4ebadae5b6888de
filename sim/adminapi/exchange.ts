import { ApiError, errors, NoReply, repr, SILENT_BEFORE_4_4 } from '../host/errors.js';
import { validateName } from '../host/names.js';
import type { Qube } from '../host/qube.js';
import type { HostState } from '../host/state.js';
import { errorReply, okReply, parseRequest, type Request } from './messages.js';
import type { Call, Method } from './method.js';
import { methodsOf, STREAMS } from './methods/index.js';
import { events, stats } from './streams.js';

const NOTHING = new Uint8Array();

/** Answers one request. A failure is either a named refusal or an empty reply. */
export async function exchange(host: HostState, untrusted_bytes: Uint8Array): Promise<Uint8Array> {
  try {
    const request = parseRequest(untrusted_bytes);
    const fault = faultOf(host, request);
    if (fault?.delay !== undefined) await host.wait(fault.delay / 1000);
    if (fault?.drop === 'before') return NOTHING;
    if (fault?.error !== undefined) throw new ApiError(fault.error.type, fault.error.message);
    const answer = await run(host, request);
    return fault?.drop === 'after' ? NOTHING : okReply(answer ?? '');
  } catch (error) {
    return failure(host, error);
  }
}

/** What is to go wrong with this request. It is about the same qube by its name and by its uuid. */
function faultOf(host: HostState, { method, destination }: Request) {
  return host.faults.take(method, host.find(destination)?.name ?? destination);
}

async function run(host: HostState, request: Request): Promise<string | Uint8Array | undefined> {
  const { method, endpoint } = find(host, request);
  const call = accept(host, request, endpoint);
  enforce(method, call);
  try {
    return await method.run(call);
  } finally {
    await host.settled();
  }
}

function find(host: HostState, { method: name, source, destination }: Request) {
  // Check the caller and the target before the method.
  resolve(host, source);
  resolve(host, destination);
  const found = methodsOf(host).get(name);
  if (found === undefined) throw errors.protocol(`no such method: ${repr(name)}`);
  return found;
}

function accept(host: HostState, request: Request, endpoint: string): Call {
  return {
    host,
    source: resolve(host, request.source),
    dest: resolve(host, request.destination),
    argument: request.argument,
    payload: request.payload,
    endpoint,
  };
}

function resolve(host: HostState, name: string): Qube {
  const found = host.find(name);
  if (found !== undefined) return found;
  if (host.since('4.3')) {
    if (!name.startsWith('uuid:')) validateName(name, host.api);
    else if (!/^uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(name)) {
      throw new ApiError('QubesVMInvalidUUIDError', `VM UUID is not valid: ${repr(name.slice(5))}`);
    }
  }
  throw errors.noDomain(name);
}

function enforce(method: Method, { host, dest, argument, payload }: Call): void {
  if (method.payload === true && payload.length === 0 && host.since('4.4')) {
    throw errors.protocol('expected payload');
  }
  if (method.payload === false && payload.length > 0) throw errors.protocol('unexpected payload');
  if (method.arg === true && argument === '' && host.since('4.4')) {
    throw errors.protocol('expected an argument');
  }
  if (method.arg === false && argument !== '') throw errors.protocol('unexpected argument');
  if (method.dom0 === true && dest.class !== 'AdminVM') {
    throw errors.protocol('expected destination to be AdminVM');
  }
  if (method.dom0 === false && dest.class === 'AdminVM') {
    throw errors.protocol('expected destination to not be AdminVM');
  }
}

/** A stream ends when its subscriber disconnects, or with a refusal, which may come after the first event. */
export async function openStream(
  host: HostState,
  untrusted_bytes: Uint8Array,
  onBytes: (bytes: Uint8Array) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    const request = parseRequest(untrusted_bytes);
    if (!STREAMS.has(request.method)) {
      onBytes(await exchange(host, untrusted_bytes));
      return;
    }
    const fault = faultOf(host, request);
    if (fault?.delay !== undefined) await host.wait(fault.delay / 1000);
    if (fault?.drop === 'before') return;
    if (fault?.error !== undefined) throw new ApiError(fault.error.type, fault.error.message);
    const call = accept(host, request, '');
    if (call.argument !== '') throw errors.protocol('unexpected argument');
    if (call.payload.length > 0) throw errors.protocol('unexpected payload');
    await (request.method === 'admin.Events' ? events : stats)(call, onBytes, signal);
  } catch (error) {
    const bytes = failure(host, error);
    if (bytes.length > 0) onBytes(bytes);
  }
}

export function isStream(untrusted_bytes: Uint8Array): boolean {
  try {
    return STREAMS.has(parseRequest(untrusted_bytes).method);
  } catch {
    return false;
  }
}

function failure(host: HostState, error: unknown): Uint8Array {
  if (error instanceof NoReply) return NOTHING;
  if (!(error instanceof ApiError)) throw error;
  if (!host.since('4.4') && SILENT_BEFORE_4_4.has(error.type)) return NOTHING;
  return errorReply(error);
}
