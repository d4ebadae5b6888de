import { definePlugin, defineTool, NoParams, QubeName, Type } from '../../core/api/index.js';
import { budget, grow } from './services.js';

export default definePlugin({
  id: 'storage',
  apiVersion: 1,
  title: 'Budget and disks',
  services: [budget, grow],
  tools: [
    defineTool({
      name: 'budget_get',
      title: 'Show the budget',
      description:
        'Shows what your world uses of each line of its budget, the limit, and what is left: qubes, disk (bytes), what runs at once, memory (MiB), calls and more. Removed qubes count.',
      effect: 'read',
      input: NoParams,
      output: budget.reply,
      uses: { budget },
      upholds: budget.invariants,
      run: ({ budget }, _input, { signal }) => budget({}, signal),
    }),
    defineTool({
      name: 'volume_grow',
      title: 'Grow a private disk',
      description:
        'Makes the private disk of a qube bigger, to `size` bytes. It cannot be made smaller again.',
      effect: 'write',
      input: Type.Object({ qube: QubeName, ...grow.params.properties }, { additionalProperties: false }),
      output: grow.reply,
      uses: { grow },
      upholds: grow.invariants,
      run: ({ grow }, { qube, size }, { signal }) => grow(qube, { size }, signal),
    }),
  ],
});
