import { definePlugin, defineTool, NoParams, QubeName, Type } from '../../core/api/index.js';
import { existenceHidden, list, state, valuesRedacted } from './services.js';

export default definePlugin({
  id: 'inspect',
  apiVersion: 1,
  title: 'See the world',
  services: [list, state],
  tools: [
    defineTool({
      name: 'qube_list',
      title: 'List the qubes',
      description:
        'Lists every qube you can work with: name, class and power state. `prefix` is what the name of a new qube must start with.',
      effect: 'read',
      input: NoParams,
      output: list.reply,
      uses: { list },
      upholds: [existenceHidden, valuesRedacted],
      run: ({ list }, _input, { signal }) => list({}, signal),
    }),
    defineTool({
      name: 'qube_state',
      title: 'Show one qube',
      description:
        'Shows one qube: class, power state, label, template, network, memory (MiB), vcpus and private disk (bytes).',
      effect: 'read',
      input: Type.Object({ qube: QubeName }, { additionalProperties: false }),
      output: state.reply,
      uses: { state },
      upholds: [existenceHidden, valuesRedacted],
      run: ({ state }, { qube }, { signal }) => state(qube, {}, signal),
    }),
  ],
});
