import { definePlugin, defineTool, describedInput, NoParams, QubeName } from '../../core/api/index.js';
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
      input: describedInput(
        { qube: QubeName, ...grow.params.properties },
        { qube: 'the qube whose disk to grow', size: 'the new size in bytes; not smaller than now' },
      ),
      output: grow.reply,
      uses: { grow },
      upholds: grow.invariants,
      run: ({ grow }, { qube, size }, { signal }) => grow(qube, { size }, signal),
    }),
  ],
});
