import { errors, NoReply, repr } from './errors.js';
import type { DeviceClass, DeviceRef, Mode } from './qube.js';
import type { HostState } from './state.js';

/** The device and options of a request. */
export interface DeviceArguments {
  readonly mode: Mode;
  readonly options: Map<string, string>;
  readonly ref: DeviceRef;
  readonly frontend: string | null;
}

/** `BACKEND+PORT[+DEVID]`; `_` stands for any, and characters that an argument cannot contain are encoded. */
export function parseRef(host: HostState, argument: string): DeviceRef {
  const at = argument.indexOf('+');
  if (at < 0) throw new NoReply('device without a backend');
  const backend = argument.slice(0, at) === '_' ? '*' : argument.slice(0, at);
  if (backend !== '*' && host.find(backend) === undefined) throw new NoReply(`no backend ${backend}`);
  const rest = argument.slice(at + 1).replaceAll('+', ':');
  const colon = rest.indexOf(':');
  const port = colon < 0 ? rest : rest.slice(0, colon);
  const id = colon < 0 ? '' : rest.slice(colon + 1);
  return {
    backend,
    port: port === '_' ? '*' : port,
    id: id === '' || id === '_' ? '*' : id.replaceAll('_______', '?******'),
  };
}

/** The payload of Attach and Assign: `key='value'` pairs, options with a leading underscore. */
export function parseWish(
  host: HostState,
  ref: DeviceRef,
  devclass: DeviceClass,
  untrusted_payload: Uint8Array,
): DeviceArguments {
  const text = Buffer.from(untrusted_payload).toString('latin1');
  const options = new Map<string, string>();
  let mode: Mode = 'manual';
  let id = ref.id;
  let frontend: string | null = null;
  for (const [key, value] of pairs(text)) {
    if (key.startsWith('_')) options.set(key.slice(1), value);
    else if (key === 'mode') mode = modeOf(value);
    else if (key === 'device_id') {
      if (ref.id !== '*' && value !== ref.id) {
        throw errors.protocol(`Unrecognized device identity ${repr(value)} expected ${repr(ref.id)}`);
      }
      id = value === '' ? '*' : value;
    } else if (key === 'backend_domain') {
      // The daemon's message lacks this space too.
      if (value !== ref.backend) {
        throw errors.protocol(`Got device exposed by ${value}when expected devices from ${ref.backend}.`);
      }
    } else if (key === 'port_id') {
      if (value !== ref.port) {
        throw errors.protocol(`Got device from port: ${value} when expected port: ${ref.port}.`);
      }
    } else if (key === 'devclass') {
      if (value !== devclass) throw errors.protocol(`Got ${value} device when expected ${devclass}.`);
    } else if (key === 'frontend_domain') {
      if (host.find(value) === undefined) throw errors.protocol(`No such domain: ${repr(value)}`);
      frontend = value;
    } else {
      throw errors.protocol(`DeviceAssignment.__init__() got an unexpected keyword argument ${repr(key)}`);
    }
  }
  return { mode, options, ref: { ...ref, id }, frontend };
}

function modeOf(text: string): Mode {
  if (text === 'manual' || text === 'auto-attach' || text === 'ask-to-attach' || text === 'required')
    return text;
  throw errors.protocol(`${repr(text)} is not a valid AssignmentMode`);
}

function* pairs(text: string): Generator<[string, string]> {
  let rest = text.trim();
  while (rest !== '') {
    const match = /^([^=\s]+)='((?:[^'\\]|\\.)*)'\s*/.exec(rest);
    if (match === null) {
      yield [/^\S+/.exec(rest)?.[0] ?? rest, ''];
      return;
    }
    yield [match[1] ?? '', (match[2] ?? '').replace(/\\(.)/g, '$1')];
    rest = rest.slice(match[0].length);
  }
}
