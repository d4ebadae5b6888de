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
        'Shows what is used and left of each line of your budget: disk in bytes, memory in MiB. Removed qubes count.',
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
      description: 'Grows the private disk of a qube to `size` bytes. There is no way back.',
      effect: 'destroy',
      idempotent: true,
      input: Type.Object({ qube: QubeName, ...grow.params.properties }, { additionalProperties: false }),
      output: grow.reply,
      uses: { grow },
      upholds: grow.invariants,
      run: ({ grow }, { qube, size }, { signal }) => grow(qube, { size }, signal),
    }),
  ],
});
