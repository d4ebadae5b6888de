import { errors } from '../errors.js';
import type { Events } from '../events.js';
import { assign } from '../properties/access.js';
import type { HostState } from '../state.js';
import { addTag } from '../tags.js';

/** A qube's features can tag what it creates, and give it a guivm. */
export function tagEffects(events: Events<HostState>): void {
  events.react('domain-tag-add:created-by-*', (host, qube, { tag }) => {
    if (qube === null) return;
    const name = String(tag).slice('created-by-'.length);
    const creator = host.find(name);
    if (creator === undefined) throw errors.noDomain(name);
    for (const extra of (creator.features.get('tag-created-vm-with') ?? '').split(/\s+/)) {
      if (extra !== '') addTag(host, qube, extra);
    }
    const guivm = creator.features.get('set-created-guivm');
    if (guivm) assign(host, qube, 'guivm', guivm);
  });
}
