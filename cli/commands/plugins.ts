import { configuration, type Host, load, report } from '../../core/main.js';
import { chooseHost } from '../host/choose.js';
import { type Cell, table } from '../terminal/terminal.js';
import { asked, type ServeFlags } from './serve.js';

export async function plugins(flags: ServeFlags): Promise<void> {
  const host = await chooseHost(flags);
  try {
    const config = await configuration(asked({ ...flags, onRefusal: 'skip' }, host.client));
    const loaded = await load(config);
    process.stdout.write(`${rendered(loaded)}\n`);
    if (loaded.problems.length > 0) process.exitCode = 1;
    await loaded.dispose();
  } finally {
    await host.stop();
  }
}

function rendered({ plugins, tools, problems }: Host): string {
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
  return [table(['plugin', 'state', 'tools, or why not'], rows), ...why].join('\n\n');
}
