import { definePlugin, defineTool, QubeName, Type } from '../../core/api/index.js';
import { KINDS, watch } from './services.js';

/** Events told at most; of more, the last ones. */
const TOLD = 100;

export default definePlugin({
  id: 'events',
  apiVersion: 1,
  title: 'Wait for what happens',
  services: [watch],
  tools: [
    defineTool({
      name: 'event_wait',
      title: 'Wait for an event',
      description:
        'Waits up to `seconds` for something to happen to a qube: to any, or to `qube`; anything, or one of `kinds`. Returns what happened until then, what it waited for last, if it `came`.',
      effect: 'read',
      input: Type.Object(
        {
          ...watch.params.properties,
          qube: Type.Optional(QubeName),
          kinds: Type.Optional(Type.Array(Type.Enum(KINDS), { minItems: 1 })),
        },
        { additionalProperties: false },
      ),
      output: Type.Object(
        {
          came: Type.Boolean(),
          events: Type.Array(
            Type.Object({ event: Type.Enum(KINDS), qube: QubeName }, { additionalProperties: false }),
          ),
        },
        { additionalProperties: false },
      ),
      uses: { watch },
      upholds: watch.invariants,
      run: async ({ watch }, { seconds, qube: wanted, kinds }, { signal, progress }) => {
        const events: { event: (typeof KINDS)[number]; qube: string }[] = [];
        for await (const { event, qube } of watch({ seconds }, signal)) {
          // A client that hears something now and then does not take the call for dead.
          if (qube === null || event === 'watching' || event === 'nothing') progress('waiting');
          else if (wanted === undefined || wanted === qube) {
            events.push({ event, qube });
            if (kinds === undefined || kinds.includes(event))
              return { came: true, events: events.slice(-TOLD) };
          }
        }
        return { came: false, events: events.slice(-TOLD) };
      },
    }),
  ],
});
