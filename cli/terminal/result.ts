/** Formats the result of a tool for a person: lists as tables, the rest as keys and values. */
import { printable } from '../../core/boot/problems.js';
import { columns, paint, table } from './terminal.js';

type Row = Readonly<Record<string, unknown>>;

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

/** Keeps the order of the tool's output schema. */
export function result(output: Row, schema: unknown): string {
  const { properties = {} } = schema as Schema;
  const entries = inOrder(Object.keys(output), properties).map((key) => [key, output[key]] as const);
  const plain = entries.filter(([, value]) => !isRows(value) && !isText(value));
  const width = Math.max(0, ...plain.map(([key]) => key.length));
  const blocks: string[] = [];
  if (plain.length > 0)
    blocks.push(
      plain.map(([key, value]) => `${paint(key.padEnd(width), 'bold')}  ${cell(value)}`).join('\n'),
    );
  for (const [key, value] of entries)
    if (isRows(value)) blocks.push(`${paint(key, 'bold')}\n${rows(value, properties[key]?.items)}`);
    else if (isText(value)) blocks.push(`${paint(key, 'bold')}\n${safe(value).trimEnd()}`);
  return blocks.join('\n\n');
}

/** Escapes control characters, so that text from inside a qube cannot control the terminal. Line breaks stay. */
const safe = (text: string): string => printable(text.replaceAll('\t', '    '));
/** A line break in a name must not pass for the end of a row. */
const onOneLine = (text: string): string => safe(text).replaceAll('\n', '\\n');
const isText = (value: unknown): value is string => typeof value === 'string' && value.includes('\n');
const isRows = (value: unknown): value is Row[] =>
  Array.isArray(value) &&
  value.length > 0 &&
  value.every((each) => typeof each === 'object' && each !== null && !Array.isArray(each));

const inOrder = (keys: readonly string[], properties: object): string[] => {
  const order = Object.keys(properties);
  return [...order.filter((key) => keys.includes(key)), ...keys.filter((key) => !order.includes(key))];
};

function rows(value: readonly Row[], schema: Schema = {}): string {
  const heads = inOrder([...new Set(value.flatMap((row) => Object.keys(row)))], schema.properties ?? {});
  const cells = value.map((row) =>
    heads.map((head) => ({ text: row[head] === undefined ? '' : cell(row[head]) })),
  );
  return table(heads, cells);
}

function cell(value: unknown): string {
  if (value === null) return '–';
  if (typeof value === 'string') return onOneLine(value);
  if (Array.isArray(value) && value.every((each) => typeof each !== 'object'))
    return onOneLine(value.join(' ')) || '–';
  if (typeof value === 'object') {
    const inside = Object.entries(value).map(([key, each]) => `${key} ${cell(each)}`);
    return inside.join(', ').slice(0, columns() * 3);
  }
  return String(value);
}
