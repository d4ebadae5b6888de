import {
  definePlugin,
  defineTool,
  describedInput,
  eachOf,
  NoParams,
  QubeName,
  Type,
} from '../../core/api/index.js';
import { mermaid } from './picture.js';
import { disconnect, map, reconnect, state } from './services.js';

const OneQube = describedInput({ qube: QubeName }, { qube: 'the name of the qube' });

export default definePlugin({
  id: 'networking',
  apiVersion: 1,
  title: 'Who sits behind whom',
  services: [map, state, disconnect, reconnect],
  tools: [
    defineTool({
      name: 'network_map',
      title: 'Map the network',
      description: 'Shows the network of each qube (null: none), also as a Mermaid flowchart.',
      effect: 'read',
      input: NoParams,
      output: Type.Object(
        {
          qubes: Type.Array(
            Type.Object(
              {
                qube: QubeName,
                state: state.reply.properties.state,
                network: state.reply.properties.network,
              },
              { additionalProperties: false },
            ),
          ),
          mermaid: Type.String(),
        },
        { additionalProperties: false },
      ),
      uses: { map, read: state },
      upholds: map.invariants,
      run: async ({ map, read }, _input, { signal }) => {
        const listed = await map({}, signal);
        const qubes = await eachOf(listed.qubes, async ({ name }) => {
          const { state, network } = await read(name, {}, signal);
          return { qube: name, state, network };
        });
        return { qubes, mermaid: mermaid(qubes) };
      },
    }),
    defineTool({
      name: 'network_disconnect',
      title: 'Take a qube off its network',
      description: 'Takes a qube off its network; network_reconnect puts it back.',
      effect: 'write',
      idempotent: true,
      input: OneQube,
      output: disconnect.reply,
      uses: { disconnect },
      upholds: disconnect.invariants,
      run: ({ disconnect }, { qube }, { signal }) => disconnect(qube, {}, signal),
    }),
    defineTool({
      name: 'network_reconnect',
      title: 'Put a qube back on its network',
      description: 'Puts a qube back on the network it was made on. One made without is `not-permitted`.',
      effect: 'write',
      idempotent: true,
      input: OneQube,
      output: reconnect.reply,
      uses: { reconnect },
      upholds: reconnect.invariants,
      run: ({ reconnect }, { qube }, { signal }) => reconnect(qube, {}, signal),
    }),
  ],
});
