import { definePlugin, defineTool, QubeName, Type } from '../../core/api/index.js';
import * as spawn from './services.js';

const OneQube = Type.Object({ qube: QubeName }, { additionalProperties: false });

export default definePlugin({
  id: 'spawn',
  apiVersion: 1,
  title: 'Make, start, stop and remove qubes',
  services: [spawn.create, spawn.start, spawn.shutdown, spawn.remove],
  tools: [
    defineTool({
      name: 'qube_spawn',
      title: 'Make a qube',
      description:
        'Makes a new qube from a template you can see. `name` must start with the prefix qube_list shows. It sits on the world’s network (`network: "inherit"`, the default) or on none. Memory is MiB, private_size bytes. `start: true` also starts it.',
      effect: 'write',
      input: spawn.create.params,
      output: spawn.create.reply,
      uses: { create: spawn.create },
      upholds: spawn.create.invariants,
      run: ({ create }, input, { signal }) => create(input, signal),
    }),
    defineTool({
      name: 'qube_start',
      title: 'Start a qube',
      description: 'Starts a qube and waits until it answers. A running qube is left as it is.',
      effect: 'write',
      input: OneQube,
      output: spawn.start.reply,
      uses: { start: spawn.start },
      upholds: spawn.start.invariants,
      run: ({ start }, { qube }, { signal }) => start(qube, {}, signal),
    }),
    defineTool({
      name: 'qube_shutdown',
      title: 'Shut a qube down',
      description:
        'Asks a qube to shut down and waits up to `timeout` seconds (default 60). If it has not halted by then the answer is `conflict`.',
      effect: 'write',
      input: Type.Object(
        { qube: QubeName, ...spawn.shutdown.params.properties },
        { additionalProperties: false },
      ),
      output: spawn.shutdown.reply,
      uses: { shutdown: spawn.shutdown },
      upholds: spawn.shutdown.invariants,
      run: ({ shutdown }, { qube, ...params }, { signal }) => shutdown(qube, params, signal),
    }),
    defineTool({
      name: 'qube_remove',
      title: 'Remove a qube',
      description:
        'Halts a qube at once and removes it from your world. The operator can bring it back for a while; you cannot reuse its name until then.',
      effect: 'destroy',
      input: OneQube,
      output: spawn.remove.reply,
      uses: { remove: spawn.remove },
      upholds: spawn.remove.invariants,
      run: ({ remove }, { qube }, { signal }) => remove(qube, {}, signal),
    }),
  ],
});
