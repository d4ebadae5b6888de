import {
  definePlugin,
  defineTool,
  describedInput,
  invalidAt,
  NoParams,
  QubeName,
  Type,
} from '../../core/api/index.js';
import { PROMPTS } from './prompts.js';
import { RESOURCES } from './resources.js';
import { featureSet, list, set, state } from './services.js';

const Properties = describedInput(set.params.properties, {
  label: 'its colour',
  memory: 'its initial memory in MiB, at most maxmem',
  maxmem: 'the most memory it may get, in MiB, at least memory',
  vcpus: 'its number of virtual CPUs',
  default_user: 'the user that runs its programs',
});

export default definePlugin({
  id: 'inspect',
  apiVersion: 1,
  title: 'See the world',
  instructions: ['qube_list shows the qubes that you can use.'],
  services: [list, state, set, featureSet],
  resources: RESOURCES,
  prompts: PROMPTS,
  tools: [
    defineTool({
      name: 'qube_list',
      title: 'List the qubes',
      description: 'Lists your qubes. The name of a new one must start with `prefix`.',
      effect: 'read',
      input: NoParams,
      output: list.reply,
      uses: { list },
      upholds: list.invariants,
      run: ({ list }, _input, { signal }) => list({}, signal),
    }),
    defineTool({
      name: 'qube_state',
      title: 'Show one qube',
      description: 'Shows one qube; memory in MiB, disk in bytes.',
      effect: 'read',
      input: describedInput({ qube: QubeName }, { qube: 'the qube to show' }),
      output: state.reply,
      uses: { state },
      upholds: state.invariants,
      run: ({ state }, { qube }, { signal }) => state(qube, {}, signal),
    }),
    defineTool({
      name: 'qube_set',
      title: 'Set properties of a qube',
      description:
        'Sets properties of a halted qube, all or none; while it runs, its label. Of templates, none.',
      effect: 'write',
      idempotent: true,
      input: describedInput(
        {
          qube: QubeName,
          properties: Type.Object(Properties.properties, { additionalProperties: false, minProperties: 1 }),
        },
        { qube: 'the qube to change', properties: 'the new values' },
      ),
      output: set.reply,
      uses: { set },
      upholds: set.invariants,
      run: ({ set }, { qube, properties }, { signal }) => {
        const { memory, maxmem } = properties;
        if (memory && maxmem && memory > maxmem)
          throw invalidAt('/properties/memory', 'must be at most maxmem');
        return set(qube, properties, signal);
      },
    }),
    defineTool({
      name: 'qube_feature_set',
      title: 'Set a feature of a qube',
      description: 'Sets a feature, of those the operator lists; null removes it.',
      effect: 'write',
      idempotent: true,
      input: describedInput(
        {
          qube: QubeName,
          feature: featureSet.params.properties.feature,
          value: Type.Union([featureSet.params.properties.value, Type.Null()]),
        },
        {
          qube: 'the qube to change',
          feature: 'the name of the feature, such as service.cups',
          value: 'the new value; null removes the feature',
        },
      ),
      output: featureSet.reply,
      uses: { featureSet },
      upholds: featureSet.invariants,
      run: ({ featureSet }, { qube, feature, value }, { signal }) =>
        featureSet(qube, value === null ? { feature } : { feature, value: value as string }, signal),
    }),
  ],
});
