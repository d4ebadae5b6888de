import {
  defineGuestService,
  definePlugin,
  defineTargetService,
  defineTool,
  type Invariant,
  type Plugin,
  type Service,
  step,
  type Tool,
  Type,
} from '../../core/api/index.js';

export const Nothing = Type.Object({}, { additionalProperties: false });
export const OneQube = Type.Object({ qube: Type.String() }, { additionalProperties: false });
export const Word = Type.Object({ word: Type.String() }, { additionalProperties: false });

export const kept: Invariant = { id: 'test.kept', with: { limit: 3, of: ['a', 'b'] } };

export function serviceOf(plugin: string, verb = 'Say') {
  return defineTargetService(`qmcp.${plugin}.${verb}`, {
    effect: 'write',
    capability: 'read',
    params: Nothing,
    invariants: [kept],
    steps: [step.read({ qube: '$target' })],
    reply: Word,
  });
}

export const guestService = defineGuestService('qmcp.guests.Run', {
  effect: 'destroy',
  capability: 'exec',
  params: Type.Object({ command: Type.String() }, { additionalProperties: false }),
  invariants: [],
  reply: Type.Object({ exit: Type.Integer() }, { additionalProperties: false }),
});

export function toolOf(
  name: string,
  service: ReturnType<typeof serviceOf>,
  changes: Partial<Tool> = {},
): Tool {
  return {
    ...defineTool({
      name,
      title: 'Say a word',
      description: 'Says a word.',
      effect: 'write',
      input: OneQube,
      output: Word,
      uses: { say: service },
      upholds: [kept],
      run: ({ say }, { qube }, { signal }) => say(qube, {}, signal),
    }),
    ...changes,
  } as Tool;
}

/** A plugin with one service and one tool, both named after it. */
export function pluginOf(id: string, changes: Partial<Plugin> = {}): Plugin {
  const service = serviceOf(id);
  return definePlugin({
    id,
    apiVersion: 1,
    title: id,
    services: [service],
    tools: [toolOf(`${id}_say`, service)],
    ...changes,
  });
}

export function serviceIn(plugin: Plugin): Service {
  return plugin.services[0]!;
}
