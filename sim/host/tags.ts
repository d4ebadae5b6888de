import { errors, NoReply } from './errors.js';
import type { Qube } from './qube.js';
import type { HostState } from './state.js';

/**
 * Adding an existing tag sends no event. The daemon refuses characters outside of this set with an exception that it expects nowhere: a
 * qube whose creator has a dot in its name is made, and stays without a tag.
 */
export function addTag(host: HostState, qube: Qube, tag: string): void {
  if (!/^[A-Za-z0-9_-]*$/.test(tag)) throw new NoReply('Invalid character in tag');
  if (qube.tags.has(tag)) return;
  qube.tags.add(tag);
  host.fire(qube, `domain-tag-add:${tag}`, { tag });
}

export function removeTag(host: HostState, qube: Qube, tag: string): void {
  if (!qube.tags.delete(tag)) throw errors.noTag(tag, qube.name);
  host.fire(qube, `domain-tag-delete:${tag}`, { tag });
}

/**
 * `guivm-x`, `audiovm-x` and `relayvm-x` name a qube's servers, at most one of each. The daemon keeps a correct guivm tag; it
 * removes the others and adds them again.
 */
export function retag(host: HostState, qube: Qube, prefix: string, name: string | null): void {
  const wanted = name === null ? null : `${prefix}${name}`;
  for (const tag of [...qube.tags]) {
    if (tag.startsWith(prefix) && !(prefix === 'guivm-' && tag === wanted)) removeTag(host, qube, tag);
  }
  if (wanted !== null) addTag(host, qube, wanted);
}
