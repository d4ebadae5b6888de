import {
  defineChanges,
  definePlugin,
  defineTool,
  describedInput,
  QubeName,
  Type,
} from '../../core/api/index.js';
import { KINDS, watch } from './services.js';
import { type Kind, StartFilter } from './start-filter.js';

/** The most events in a result; the last ones are kept. */
const MAX_EVENTS = 100;
/** Seconds of one call that follows changes; the next one starts after it. */
const STREAM_SECONDS = 600;
/** Events that change a list of qubes. */
const LISTING_KINDS: readonly Kind[] = [
  'appeared',
  'left',
  'starting',
  'started',
  'halted',
  'paused',
  'resumed',
];

export default definePlugin({
  id: 'events',
  apiVersion: 1,
  title: 'Wait for what happens',
  services: [watch],
  changes: defineChanges({
    uses: { watch },
    async *of({ watch }, { signal }) {
      for await (const { event, qube } of watch({ seconds: STREAM_SECONDS }, signal)) {
        if (qube === null || event === 'watching' || event === 'nothing') continue;
        yield `qube://${qube}`;
        if (LISTING_KINDS.includes(event)) yield 'qube://';
      }
    },
  }),
  tools: [
    defineTool({
      name: 'event_wait',
      title: 'Wait for an event',
      description:
        'Waits up to `seconds` for one of `kinds` (or anything) to happen to `qube` (or any), and tells what happened until then, and whether it `came`.',
      effect: 'read',
      slow: true,
      input: describedInput(
        {
          ...watch.params.properties,
          qube: Type.Optional(QubeName),
          kinds: Type.Optional(Type.Array(Type.Enum(KINDS), { minItems: 1 })),
        },
        {
          seconds: 'seconds to wait at most',
          qube: 'only events of this qube',
          kinds: 'the events that end the waiting; any if absent',
        },
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
        const events: { event: Kind; qube: string }[] = [];
        const filter = new StartFilter();
        for await (const { event, qube } of watch({ seconds }, signal)) {
          // Progress now and then keeps a client from giving up on the call.
          if (qube === null || event === 'watching' || event === 'nothing') progress('waiting');
          else if ((wanted === undefined || wanted === qube) && filter.keeps(event, qube)) {
            events.push({ event, qube });
            if (kinds === undefined || kinds.includes(event))
              return { came: true, events: events.slice(-MAX_EVENTS) };
          }
        }
        return { came: false, events: events.slice(-MAX_EVENTS) };
      },
    }),
  ],
});
