import { readFileSync } from 'node:fs';
import { Host } from '../../host/host.js';
import { loadHostSpec } from '../../host-spec.js';
import { isStream } from '../exchange.js';
import { prepareEnvironment } from './environment.js';
import type { Exchange } from './recording.js';
import { soon } from './replay.js';
import { Translation } from './translate.js';

/** One event in wire format. */
export interface WireEvent {
  readonly subject: string;
  readonly name: string;
  readonly args: readonly (readonly [string, string])[];
}

/** The action of an event recorder for one line of its file, as requests of the recording of exchanges. */
export interface Action {
  readonly action: string;
  /** A subscriber connects to a new host. */
  readonly host?: 'new';
  /** The first and the last request of the action. */
  readonly requests?: readonly [number, number];
  /** Nobody was listening up to this request. */
  readonly unheard?: number;
  /** A cause that is not a request: a domain that dies. */
  readonly outside?: { readonly crash: string };
}

export function readActions(file: string): Action[] {
  return JSON.parse(readFileSync(file, 'utf8')) as Action[];
}

/** `1 SUBJECT EVENT (KEY VALUE)*`: every field ends with a NUL, and the event with one more. */
export function parseEvents(stream: string): WireEvent[] {
  const fields = stream.split('\0');
  const events: WireEvent[] = [];
  for (let at = 0; fields[at] === '1'; at++) {
    const [subject = '', name = ''] = fields.slice(at + 1, at + 3);
    const args: [string, string][] = [];
    at += 3;
    while (fields[at] !== '' && fields[at] !== undefined) {
      args.push([fields[at] as string, fields[at + 1] ?? '']);
      at += 2;
    }
    events.push({ subject, name, args });
  }
  return events;
}

/** Repeats the recorder's actions, one line at a time, and returns the events that a subscriber got meanwhile. */
export async function hearActions(
  exchanges: readonly Exchange[],
  actions: readonly Action[],
): Promise<{ stream: string; translation: Translation }[]> {
  const heard: { stream: string; translation: Translation }[] = [];
  let session: Session | undefined;
  for (const action of actions) {
    if (action.host === 'new') session = await connect();
    if (session === undefined) throw new Error('the first action must connect to a host');
    const [first, last] = action.requests ?? [0, -1];
    for (let at = first; at <= last; at++) {
      await session.ask(exchanges[at] as Exchange);
      if (at === action.unheard) session.take();
    }
    if (action.outside !== undefined) await session.host.crash(action.outside.crash);
    heard.push({ stream: session.take(), translation: session.translation });
  }
  return heard;
}

interface Session {
  readonly host: Host;
  readonly translation: Translation;
  ask(exchange: Exchange): Promise<void>;
  take(): string;
}

async function connect(): Promise<Session> {
  const host = Host.load(loadHostSpec('recorded'), { wait: soon });
  const translation = new Translation();
  let chunks: Uint8Array[] = [];
  const subscribe = Buffer.from('admin.Events+ dom0 name dom0\0');
  void host.stream(subscribe, (bytes) => chunks.push(bytes), new AbortController().signal);
  await soon();
  return {
    host,
    translation,
    async ask(exchange) {
      translation.keepFixed(exchange.request);
      const request = translation.request(exchange.request);
      if (isStream(Buffer.from(request, 'latin1'))) return;
      prepareEnvironment(host, { ...exchange, request });
      const reply = await host.call(Buffer.from(request, 'latin1'));
      await host.idle();
      translation.same(exchange.response, Buffer.from(reply).toString('latin1'));
    },
    take() {
      const stream = Buffer.concat(chunks).toString('latin1');
      chunks = [];
      return stream;
    },
  };
}
