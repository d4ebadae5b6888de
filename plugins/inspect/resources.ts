import { defineResource } from '../../core/api/index.js';
import { list, state } from './services.js';

const json = (value: unknown) => ({ text: JSON.stringify(value) });

/** The answers of the tools by address, for clients that show resources or subscribe to changes. */
export const RESOURCES = [
  defineResource({
    uri: 'qube://',
    name: 'qubes',
    title: 'The qubes',
    description: 'Every qube you can work with, as qube_list answers.',
    mimeType: 'application/json',
    uses: { list },
    read: async ({ list }, _variables, { signal }) => json(await list({}, signal)),
  }),
  defineResource({
    uri: 'qube://{name}',
    name: 'qube',
    title: 'A qube',
    description: 'One qube, as qube_state answers.',
    mimeType: 'application/json',
    uses: { list, state },
    read: async ({ state }, { name }, { signal }) => json(await state(name!, {}, signal)),
    list: async ({ list }, { signal }) => (await list({}, signal)).qubes.map(({ name }) => `qube://${name}`),
    complete: {
      name: async ({ list }, _typed, { signal }) => (await list({}, signal)).qubes.map(({ name }) => name),
    },
  }),
];
