import { configuration } from '../../core/main.js';
import { configFromFlags, type ServeFlags } from '../arguments/flags.js';
import { type Cell, table } from '../terminal/terminal.js';

export interface ShowFlags extends Omit<ServeFlags, 'world'> {
  readonly origin?: true;
  readonly json?: true;
}

/** Prints the resolved configuration; with `origin`, also where each value was set. */
export async function show(flags: ShowFlags): Promise<void> {
  const { origins, file, ...values } = await configuration(configFromFlags(flags));
  const leaves = leavesOf(values);
  if (flags.json) {
    const output = flags.origin
      ? Object.fromEntries(
          leaves.map(([key, value]) => [key, { value, origin: origins.get(key)?.text ?? 'default' }]),
        )
      : values;
    process.stdout.write(`${JSON.stringify(output, null, 2)}\n`);
    return;
  }
  const rows = leaves.map(([key, value]): Cell[] => {
    const { kind, text } = origins.get(key) ?? { kind: 'default', text: 'default' };
    const where = {
      text: relativeToHere(text),
      ...(kind === 'default' ? { colour: 'dim' as const } : { colour: 'cyan' as const }),
    };
    return [{ text: key }, ...(flags.origin ? [where] : []), { text: formatValue(value) }];
  });
  process.stdout.write(`${table(['key', ...(flags.origin ? ['set by'] : []), 'value'], rows)}\n`);
  if (file === undefined && process.stderr.isTTY)
    process.stderr.write(
      'This folder has no configuration file; these are the defaults and the values set by flags or variables.\n',
    );
}

/** Values by their dotted path. A list counts as one value. */
function leavesOf(value: object, path = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([key, part]: [string, unknown]): [string, unknown][] => {
    const at = path ? `${path}.${key}` : key;
    const leaves =
      typeof part === 'object' && part !== null && !Array.isArray(part) ? leavesOf(part, at) : undefined;
    return leaves && leaves.length > 0 ? leaves : [[at, part]];
  });
}

const formatValue = (value: unknown): string =>
  Array.isArray(value) ? value.join(' ') || '(none)' : typeof value === 'object' ? '(none)' : String(value);

/** A path relative to the working directory, if it is inside. */
function relativeToHere(text: string): string {
  const here = `${process.cwd()}/`;
  return text.startsWith(here) ? text.slice(here.length) : text;
}
