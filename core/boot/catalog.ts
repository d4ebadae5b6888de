import { resultOf } from '../ports/messages.js';
import type { Qrexec, QrexecResult } from '../ports/qrexec.js';
import { Compile, type Static, Type } from '../vendor/typebox.js';
import { requestCatalog } from './catalog-request.js';

/** What dom0 enforces for this qube, as dom0 itself reports it. Unknown keys are ignored. */
const Catalog = Type.Object({
  format: Type.Literal(1),
  world: Type.String(),
  prefix: Type.String(),
  /** The calls that the world may have in progress at once. */
  concurrent_calls: Type.Optional(Type.Integer({ minimum: 1 })),
  services: Type.Record(
    Type.String(),
    Type.Object({
      plugin: Type.String(),
      digest: Type.String(),
      granted: Type.Boolean(),
      /** If it is there, the operator is asked before a call; for a service that is called on a qube, if it has one of these tiers. */
      asks: Type.Optional(Type.Array(Type.String())),
      invariants: Type.Array(
        Type.Object({ id: Type.String(), with: Type.Record(Type.String(), Type.Unknown()) }),
      ),
    }),
  ),
  /** Contracts that dom0 has but does not accept, each with the reason. */
  unusable: Type.Record(Type.String(), Type.String()),
  invariants: Type.Record(Type.String(), Type.Object({ enforcedBy: Type.Enum(['dom0', 'policy']) })),
});
export type Catalog = Static<typeof Catalog>;

/** The catalog; or why there is none, as the end of a sentence that starts with the service's name. */
export type CatalogAnswer = { readonly catalog: Catalog } | { readonly why: string };

/** Asks dom0 for its catalog at once, and returns the connection and the answer for `boot`. `timeout` is seconds. */
export const connectDom0 = (qrexec: Qrexec, timeout: number) => ({
  qrexec,
  timeout,
  catalog: requestCatalog(qrexec, timeout).then((reply) => parseCatalog(reply, timeout)),
});

/** Reads dom0's answer to `requestCatalog`. */
export function parseCatalog(result: QrexecResult, timeout: number): CatalogAnswer {
  if (result.ended === 'timeout') return { why: `gave no answer within ${timeout} s` };
  if (result.exit === 126) return { why: 'was refused by the qrexec policy, or does not exist' };
  if (result.exit === 125) return { why: `could not be called (${result.stderr.trim() || 'exit code 125'})` };
  if (result.exit !== 0) {
    const said = result.stderr.trim().split('\n')[0];
    return { why: `failed with exit code ${result.exit}${said ? ` (${said})` : ''}` };
  }
  if (result.stdout.length === 0) return { why: 'was allowed, but nobody answered' };
  try {
    const untrusted_catalog = resultOf(result);
    if (Compile(Catalog).Check(untrusted_catalog)) return { catalog: untrusted_catalog };
    return { why: 'answered in a format this release does not know' };
  } catch (refused) {
    return { why: `answered with the refusal ${(refused as Error).message}` };
  }
}
