import { errors } from '../host/errors.js';
import type { HostEvent } from '../host/events.js';
import type { Qube } from '../host/qube.js';
import { eventReply, hostEventReply } from './messages.js';
import type { Call } from './method.js';
import { statsOf } from './stats.js';

type Stream = (call: Call, onBytes: (bytes: Uint8Array) => void, signal: AbortSignal) => Promise<void>;

const ESTABLISHED = eventReply('', 'connection-established', []);

/** All events, or those of one qube, as far as the caller may see them. */
export const events: Stream = async ({ host, source, dest }, onBytes, signal) => {
  const all = dest.class === 'AdminVM';
  const heard = ({ subject, name, args }: HostEvent): boolean => {
    if (!all && subject !== dest) return false;
    if (source.class === 'AdminVM') return true;
    const about = subject?.name ?? (typeof args.vm === 'string' ? args.vm : '@adminvm');
    return host.visible('admin.Events', name.replaceAll(':', '_'), source.name, about);
  };
  onBytes(ESTABLISHED);
  if (signal.aborted) return;
  const stop = host.onEvent((event) => {
    if (heard(event)) onBytes(hostEventReply(event));
  });
  await aborted(signal);
  stop();
};

/** The values of every running qube, or of one, repeatedly. */
export const stats: Stream = async ({ host, dest }, onBytes, signal) => {
  onBytes(ESTABLISHED);
  if (dest.class !== 'AdminVM' && !dest.running) throw errors.notRunning(dest.name);
  while (!signal.aborted) {
    const shown: Qube[] =
      dest.class === 'AdminVM'
        ? [...host.qubes()]
            .filter((qube) => qube.running && qube.class !== 'RemoteVM')
            .sort((a, b) => Number(b.class === 'AdminVM') - Number(a.class === 'AdminVM') || a.xid - b.xid)
        : [dest].filter((qube) => qube.running);
    for (const qube of shown) onBytes(eventReply(qube.name, 'vm-stats', statsOf(host, qube)));
    await Promise.race([host.wait(Number(host.global('stats_interval'))), aborted(signal)]);
  }
};

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
