import { report } from '../../core/boot/problems.js';
import { load, type Reviewed } from '../../core/main.js';
import type { ServeFlags } from '../arguments/flags.js';
import { onHost } from '../host/choose.js';
import { type Cell, table } from '../terminal/terminal.js';

export function plugins(flags: ServeFlags): Promise<void> {
  return onHost({ ...flags, onRefusal: 'skip' }, async (config) => {
    const loaded = await load(config);
    process.stdout.write(`${render(loaded)}\n`);
    if (loaded.problems.length > 0) process.exitCode = 1;
    await loaded.dispose();
  });
}

function render({ plugins, tools, problems }: Reviewed): string {
  const rows: Cell[][] = plugins.map(({ id }) => [
    { text: id },
    { text: 'loaded', colour: 'green' },
    {
      text: tools
        .filter(({ plugin }) => plugin === id)
        .map(({ tool }) => tool.name)
        .join(' '),
    },
  ]);
  for (const { plugin, code } of problems)
    rows.push([{ text: plugin }, { text: 'refused', colour: 'red' }, { text: code }]);
  const why = report(problems).split('\n').filter(Boolean);
  return [table(['plugin', 'state', 'tools, or reason'], rows), ...why].join('\n\n');
}
