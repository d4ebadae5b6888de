import { definePlugin, defineTool, QubeName, Type } from 'qmcp/api';
import { keys, sign, verify } from './services.js';

const closed = { additionalProperties: false };
const { key, message } = sign.params.properties;
const namespace = Type.Optional(sign.params.properties.namespace);
const DEFAULT = 'qmcp';

export default definePlugin({
  id: 'vault',
  apiVersion: 1,
  title: 'Sign with keys that never leave their qube',
  services: [keys, sign, verify],
  tools: [
    defineTool({
      name: 'vault_keys',
      title: 'List the keys of a vault',
      description:
        'Lists the keys a vault qube signs with: name, public key, and the namespaces each may sign in.',
      effect: 'read',
      input: Type.Object({ qube: QubeName }, closed),
      output: keys.reply,
      uses: { keys },
      upholds: keys.invariants,
      run: ({ keys }, { qube }, { signal }) => keys(qube, {}, { signal }),
    }),
    defineTool({
      name: 'vault_sign',
      title: 'Sign a text in a vault',
      description:
        'Signs a text with a key of a vault qube and returns an SSH signature. The key stays in the qube. A namespace the key may not sign in is `not-permitted`.',
      effect: 'write',
      input: Type.Object({ qube: QubeName, key, message, namespace }, closed),
      output: sign.reply,
      uses: { sign },
      upholds: sign.invariants,
      run: ({ sign }, { qube, key, message, namespace = DEFAULT }, { signal }) =>
        sign(qube, { key, message, namespace }, { signal }),
    }),
    defineTool({
      name: 'vault_verify',
      title: 'Check a signature in a vault',
      description: 'Says whether a signature of a text was made with a key of a vault qube.',
      effect: 'read',
      input: Type.Object(
        { qube: QubeName, key, message, namespace, signature: verify.params.properties.signature },
        closed,
      ),
      output: verify.reply,
      uses: { verify },
      upholds: verify.invariants,
      run: ({ verify }, { qube, namespace = DEFAULT, ...rest }, { signal }) =>
        verify(qube, { ...rest, namespace }, { signal }),
    }),
  ],
});
