import { axioms, defineGuestService, NoParams, Type } from 'qmcp/api';

const closed = { additionalProperties: false };
const Key = Type.String({ pattern: '^[a-z0-9-]+$', maxLength: 32 });
/** What a signature is for: one made for `qmcp` is none of a commit, a file or a login (sshsig). */
const Namespace = Type.String({ pattern: '^[a-z0-9@.-]+$', maxLength: 64 });
const Message = Type.String({ maxLength: 32_768 });
const Signature = Type.String({ maxLength: 8192 });
const PublicKey = Type.String({ maxLength: 1024 });

/*
 * All three run inside the vault qube; dom0 sees that they were called and none of their bytes. They ask for the tier `read`:
 * an agent that can do nothing else with that qube, neither run a command in it nor stop it, can have things signed there.
 */
const inside = { capability: 'read', invariants: [axioms.policyClosed] } as const;

export const keys = defineGuestService('qmcp.vault.Keys', {
  ...inside,
  effect: 'read',
  params: NoParams,
  reply: Type.Object(
    {
      keys: Type.Array(
        Type.Object({ key: Key, public_key: PublicKey, namespaces: Type.Array(Namespace) }, closed),
        { maxItems: 64 },
      ),
    },
    closed,
  ),
});

export const sign = defineGuestService('qmcp.vault.Sign', {
  ...inside,
  effect: 'write',
  params: Type.Object({ key: Key, namespace: Namespace, message: Message }, closed),
  reply: Type.Object({ signature: Signature }, closed),
});

export const verify = defineGuestService('qmcp.vault.Verify', {
  ...inside,
  effect: 'read',
  params: Type.Object({ key: Key, namespace: Namespace, message: Message, signature: Signature }, closed),
  reply: Type.Object({ valid: Type.Boolean() }, closed),
});
