import { configuration } from '../../core/main.js';
import { asked, type ServeFlags } from '../arguments/flags.js';
import { type Cell, table } from '../terminal/terminal.js';

export interface ShowFlags extends Omit<ServeFlags, 'world'> {
  readonly origin?: true;
  readonly json?: true;
}

/** The configuration with every question answered, and who answered it. */
export async function show(flags: ShowFlags): Promise<void> {
  const { origins, file, ...values } = await configuration(asked(flags));
  const leaves = leavesOf(values);
  if (flags.json) {
    const said = flags.origin
      ? Object.fromEntries(
          leaves.map(([key, value]) => [key, { value, origin: origins.get(key)?.text ?? 'default' }]),
        )
      : values;
    process.stdout.write(`${JSON.stringify(said, null, 2)}\n`);
    return;
  }
  const rows = leaves.map(([key, value]): Cell[] => {
    const { kind, text } = origins.get(key) ?? { kind: 'default', text: 'default' };
    const where = {
      text: shorter(text),
      ...(kind === 'default' ? { colour: 'dim' as const } : { colour: 'cyan' as const }),
    };
    return [{ text: key }, ...(flags.origin ? [where] : []), { text: spelled(value) }];
  });
  process.stdout.write(`${table(['key', ...(flags.origin ? ['said by'] : []), 'value'], rows)}\n`);
  if (file === undefined && process.stderr.isTTY)
    process.stderr.write('There is no configuration file here.\n');
}

/** Values by their dotted path; a list is a value. */
function leavesOf(value: object, path = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([key, part]: [string, unknown]): [string, unknown][] => {
    const at = path ? `${path}.${key}` : key;
    const inside =
      typeof part === 'object' && part !== null && !Array.isArray(part) ? leavesOf(part, at) : undefined;
    return inside && inside.length > 0 ? inside : [[at, part]];
  });
}

const spelled = (value: unknown): string =>
  Array.isArray(value) ? value.join(' ') || '(none)' : typeof value === 'object' ? '(none)' : String(value);

/** As seen from here. */
function shorter(text: string): string {
  const here = `${process.cwd()}/`;
  return text.startsWith(here) ? text.slice(here.length) : text;
}
