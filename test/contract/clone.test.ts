import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { decodeReply, encodeRequest } from '../../sim/adminapi/messages.js';
import { normalise } from '../../sim/adminapi/replay/normalise.js';
import { Translation } from '../../sim/adminapi/replay/translate.js';
import { Host } from '../../sim/host/host.js';
import { loadHostSpec } from '../../sim/host-spec.js';
import { packageFile } from '../../sim/root.js';

/** A call of the platform's own client library during a clone. */
interface ClientCall {
  readonly dest: string;
  readonly method: string;
  readonly arg: string | null;
  readonly payload: string;
  readonly response?: string | null;
  readonly error?: string;
}

/** The changes on the host that the recorder made before the clones. */
const PREPARED: readonly Parameters<typeof encodeRequest>[] = [
  ['admin.vm.Create.AppVM', 'dom0', { payload: 'name=cl-new label=red' }],
  ['admin.vm.property.Set', 'work', { argument: 'memory', payload: '555' }],
  ['admin.vm.tag.Set', 'work', { argument: 'cl-tag' }],
  ['admin.vm.feature.Set', 'work', { argument: 'cl-feat', payload: '1' }],
  ['admin.vm.feature.Set', 'work', { argument: 'cl-true', payload: '1' }],
  ['admin.vm.feature.Set', 'work', { argument: 'cl-false' }],
  ['admin.vm.notes.Set', 'work', { payload: 'note text' }],
  [
    'admin.vm.device.block.Assign',
    'work',
    { argument: 'sys-net+sdz+_', payload: "mode='auto-attach' frontend_domain='work' _read-only='yes'" },
  ],
];

test('the platform’s own client library can clone an AppVM, a template, and a template into a standalone on the simulated host', async () => {
  const host = Host.load(loadHostSpec('recorded'));
  const translation = new Translation();
  for (const request of PREPARED) {
    expect(decodeReply(await host.call(encodeRequest(...request))).kind, request.join(' ')).toBe('ok');
  }
  for (const kind of ['appvm', 'template', 'tpl_to_standalone']) {
    const file = packageFile('test', 'recordings', `clone-${kind}.json`);
    for (const call of JSON.parse(readFileSync(file, 'utf8')) as ClientCall[]) {
      const asked = `${call.method}+${call.arg ?? ''} dom0 name ${call.dest}\0${call.payload}`;
      const request = Buffer.from(translation.request(asked), 'latin1');
      const reply = decodeReply(await host.call(request));
      const ours =
        reply.kind === 'error' ? `${reply.type}: ${reply.message}` : reply.kind === 'ok' ? reply.data : '';
      const theirs = call.error ?? call.response ?? '';
      // The token of a copy is recognized by its place in a reply.
      const whole = (text: string) => normalise(asked, `0\0${text}`);
      expect(translation.same(whole(theirs), whole(ours)), `${asked}\n${theirs}\n${ours}`).toBe(true);
    }
  }
});
