import { INVARIANTS, isInvariantId, type Plugin } from '../../core/api/index.js';
import type { Catalog } from '../../core/boot/catalog.js';
import { contractOf, digestOf } from '../../core/boot/contract.js';
import type { Qrexec, QrexecRequest, QrexecResult } from '../../core/ports/qrexec.js';

export const exited = (stdout: string | Uint8Array, exit = 0): QrexecResult => ({
  ended: 'exit',
  exit,
  stdout: typeof stdout === 'string' ? Buffer.from(stdout) : stdout,
  stderr: '',
});
export const denied: QrexecResult = { ...exited('', 126), stderr: 'Request refused\n' };
export const ok = (result: unknown): QrexecResult => exited(`${JSON.stringify({ ok: true, result })}\n`);
export const refused = (code: string, data?: unknown): QrexecResult =>
  exited(`${JSON.stringify({ ok: false, error: { code, ...(data ? { data } : {}) } })}\n`);

/** A transport that answers with a function, and records its requests. */
export class FakeQrexec implements Qrexec {
  readonly calls: QrexecRequest[] = [];

  constructor(private readonly answer: (request: QrexecRequest) => QrexecResult | Promise<QrexecResult>) {}

  async call(request: QrexecRequest): Promise<QrexecResult> {
    this.calls.push(request);
    const result = await this.answer(request);
    if (!request.onStdout) return result;
    if (result.stdout.length > 0) request.onStdout(result.stdout);
    return { ...result, stdout: new Uint8Array() };
  }
}

/** The catalog of a dom0 in which exactly these plugins' contracts are installed and granted. */
export function catalogOf(plugins: readonly Plugin[]): Catalog {
  const services: Catalog['services'] = {};
  const invariants: Catalog['invariants'] = {};
  for (const plugin of plugins)
    for (const service of plugin.services) {
      services[service.name] = {
        plugin: plugin.id,
        digest: digestOf(contractOf(plugin, service)),
        granted: true,
        invariants: service.invariants.map((invariant) => ({
          id: invariant.id,
          with: { ...invariant.with },
        })),
      };
      for (const { id } of service.invariants)
        invariants[id] = { enforcedBy: isInvariantId(id) ? INVARIANTS[id].enforcedBy : 'dom0' };
    }
  return { format: 1, world: 'ai', prefix: 'ai-', services, unusable: {}, invariants };
}

/** One frame of a guest service's reply. */
export function frame(kind: string, payload: string | Uint8Array): Buffer {
  const bytes = Buffer.from(payload);
  const header = Buffer.alloc(5);
  header.write(kind, 'latin1');
  header.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([header, bytes]);
}
