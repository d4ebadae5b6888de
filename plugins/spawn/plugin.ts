import {
  definePlugin,
  defineTool,
  describedInput,
  invalidAt,
  LIMITS,
  QubeName,
  Type,
} from '../../core/api/index.js';
import * as spawn from './services.js';

const oneQube = (what: string) => describedInput({ qube: QubeName }, { qube: what });
const NEW_NAME =
  'a new name: the prefix of qube_list, then letters, digits, dots, underscores or hyphens; 31 characters at most';
const Halted = Type.Object({ qube: QubeName, state: Type.Enum(['halted']) }, { additionalProperties: false });

/** A tool that changes a qube's power state and returns the qube's state. */
const power = (
  service: typeof spawn.start,
  name: string,
  title: string,
  description: string,
  qube: string,
  slow = false,
) =>
  defineTool({
    name,
    title,
    description,
    effect: 'write',
    idempotent: true,
    slow,
    input: oneQube(qube),
    output: service.reply,
    uses: { service },
    upholds: service.invariants,
    run: ({ service }, { qube }, { signal }) => service(qube, {}, signal),
  });

export default definePlugin({
  id: 'spawn',
  apiVersion: 1,
  title: 'Make, start, stop and remove qubes',
  instructions: [
    'Make a qube with qube_spawn and start it with qube_start.',
    'Remove a qube that you made with qube_remove when you are done.',
  ],
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
      description: 'Makes a qube from a template.',
      effect: 'write',
      slow: true,
      input: describedInput(spawn.create.params.properties, {
        name: NEW_NAME,
        template: 'the template to make it from',
        class: {
          description: 'AppVM for a qube of its own, DispVMTemplate to make disposables from',
          default: 'AppVM',
        },
        label: { description: 'its colour', default: 'red' },
        network: { description: 'the network of your world, or none', default: 'inherit' },
        memory: 'its initial memory in MiB; by default that of the template',
        maxmem: 'the most memory it may get, in MiB; by default that of the template, but at least memory',
        vcpus: 'its number of virtual CPUs; by default that of the template',
        private_size: 'the size of its private disk in bytes; 2 GiB by default',
        start: { description: 'start it, too', default: false },
      }),
      output: spawn.create.reply,
      uses: { create: spawn.create },
      upholds: spawn.create.invariants,
      run: ({ create }, input, { signal }) => {
        if (input.memory && input.maxmem && input.memory > input.maxmem)
          throw invalidAt('/memory', 'must be at most maxmem');
        return create(input, signal);
      },
    }),
    defineTool({
      name: 'qube_clone',
      title: 'Clone a qube',
      description: 'Makes a halted copy of `source`: its settings and private disk.',
      effect: 'write',
      slow: true,
      input: describedInput(spawn.clone.params.properties, {
        source: 'the qube to copy',
        name: NEW_NAME,
      }),
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
      slow: true,
      input: describedInput(spawn.disposable.params.properties, {
        template: 'the qube of class DispVMTemplate to make it from',
      }),
      output: spawn.disposable.reply,
      uses: { disposable: spawn.disposable },
      upholds: spawn.disposable.invariants,
      run: ({ disposable }, input, { signal }) => disposable(input, signal),
    }),
    power(
      spawn.start,
      'qube_start',
      'Start a qube',
      'Starts a qube and waits until it answers.',
      'the qube to start',
      true,
    ),
    power(spawn.pause, 'qube_pause', 'Pause a qube', 'Freezes a running qube.', 'the running qube'),
    power(spawn.unpause, 'qube_unpause', 'Unpause a qube', 'Lets a paused qube go on.', 'the paused qube'),
    defineTool({
      name: 'qube_shutdown',
      title: 'Shut a qube down',
      description:
        'Asks a qube to halt and waits `timeout` seconds. It is a `conflict` if it has not halted by then.',
      effect: 'destroy',
      idempotent: true,
      slow: true,
      input: describedInput(
        { qube: QubeName, ...spawn.shutdown.params.properties },
        {
          qube: 'the qube to shut down',
          timeout: { description: 'seconds to wait', default: LIMITS.shutdown_seconds },
        },
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
      input: oneQube('the qube to halt at once'),
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
        'Halts a qube and removes it. For some days qube_restore brings it back; its name and disk stay taken. A template only while none of its qubes runs.',
      effect: 'destroy',
      idempotent: true,
      slow: true,
      input: oneQube('the qube to remove'),
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
      input: oneQube('the name of the removed qube'),
      output: spawn.restore.reply,
      uses: { restore: spawn.restore },
      upholds: spawn.restore.invariants,
      run: ({ restore }, input, { signal }) => restore(input, signal),
    }),
  ],
});
