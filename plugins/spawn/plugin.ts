import { definePlugin, defineTool, QubeName, Type } from '../../core/api/index.js';
import * as spawn from './services.js';

const OneQube = Type.Object({ qube: QubeName }, { additionalProperties: false });
const Halted = Type.Object({ qube: QubeName, state: Type.Enum(['halted']) }, { additionalProperties: false });

/** A tool that changes a qube's power state and returns the qube's state. */
const power = (service: typeof spawn.start, name: string, title: string, description: string) =>
  defineTool({
    name,
    title,
    description,
    effect: 'write',
    idempotent: true,
    input: OneQube,
    output: service.reply,
    uses: { service },
    upholds: service.invariants,
    run: ({ service }, { qube }, { signal }) => service(qube, {}, signal),
  });

export default definePlugin({
  id: 'spawn',
  apiVersion: 1,
  title: 'Make, start, stop and remove qubes',
  services: [
    spawn.create,
    spawn.clone,
    spawn.disposable,
    spawn.start,
    spawn.pause,
    spawn.unpause,
    spawn.shutdown,
    spawn.kill,
    spawn.remove,
    spawn.restore,
  ],
  tools: [
    defineTool({
      name: 'qube_spawn',
      title: 'Make a qube',
      description:
        'Makes a qube from a template, its `name` starting with the `prefix` of qube_list, on your world’s network unless `network` is none. Class DispVMTemplate is for disposable_spawn.',
      effect: 'write',
      input: spawn.create.params,
      output: spawn.create.reply,
      uses: { create: spawn.create },
      upholds: spawn.create.invariants,
      run: ({ create }, input, { signal }) => create(input, signal),
    }),
    defineTool({
      name: 'qube_clone',
      title: 'Clone a qube',
      description: 'Makes a halted copy of `source`: its settings and private disk.',
      effect: 'write',
      input: spawn.clone.params,
      output: spawn.clone.reply,
      uses: { clone: spawn.clone },
      upholds: spawn.clone.invariants,
      run: ({ clone }, input, { signal }) => clone(input, signal),
    }),
    defineTool({
      name: 'disposable_spawn',
      title: 'Make a disposable',
      description:
        'Makes and starts a disposable from a DispVMTemplate qube. It names itself, and is gone with its data when it halts.',
      effect: 'write',
      input: spawn.disposable.params,
      output: spawn.disposable.reply,
      uses: { disposable: spawn.disposable },
      upholds: spawn.disposable.invariants,
      run: ({ disposable }, input, { signal }) => disposable(input, signal),
    }),
    power(spawn.start, 'qube_start', 'Start a qube', 'Starts a qube and waits until it answers.'),
    power(spawn.pause, 'qube_pause', 'Pause a qube', 'Freezes a running qube.'),
    power(spawn.unpause, 'qube_unpause', 'Unpause a qube', 'Lets a paused qube go on.'),
    defineTool({
      name: 'qube_shutdown',
      title: 'Shut a qube down',
      description:
        'Asks a qube to halt and waits `timeout` seconds (60 by default). It is a `conflict` if it has not halted by then.',
      effect: 'destroy',
      idempotent: true,
      input: Type.Object(
        { qube: QubeName, ...spawn.shutdown.params.properties },
        { additionalProperties: false },
      ),
      output: Halted,
      uses: { shutdown: spawn.shutdown },
      upholds: spawn.shutdown.invariants,
      run: async ({ shutdown }, { qube, ...params }, { signal }) => {
        await shutdown(qube, params, signal);
        return { qube, state: 'halted' as const };
      },
    }),
    defineTool({
      name: 'qube_kill',
      title: 'Kill a qube',
      description: 'Halts a qube at once; what it had not written is lost.',
      effect: 'destroy',
      idempotent: true,
      input: OneQube,
      output: Halted,
      uses: { kill: spawn.kill },
      upholds: spawn.kill.invariants,
      run: async ({ kill }, { qube }, { signal }) => {
        await kill(qube, {}, signal);
        return { qube, state: 'halted' as const };
      },
    }),
    defineTool({
      name: 'qube_remove',
      title: 'Remove a qube',
      description:
        'Halts a qube and removes it. For some days qube_restore brings it back; its name and disk stay taken.',
      effect: 'destroy',
      idempotent: true,
      input: OneQube,
      output: spawn.remove.reply,
      uses: { remove: spawn.remove },
      upholds: spawn.remove.invariants,
      run: ({ remove }, { qube }, { signal }) => remove(qube, {}, signal),
    }),
    defineTool({
      name: 'qube_restore',
      title: 'Bring a removed qube back',
      description: 'Brings a removed qube back, halted, as it was.',
      effect: 'write',
      idempotent: true,
      input: OneQube,
      output: spawn.restore.reply,
      uses: { restore: spawn.restore },
      upholds: spawn.restore.invariants,
      run: ({ restore }, input, { signal }) => restore(input, signal),
    }),
  ],
});
