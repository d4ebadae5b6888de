/** Text for people: coloured on a terminal, plain when piped or when NO_COLOR asks for it. */

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34, cyan: 36 } as const;
export type Colour = keyof typeof CODES;

const coloured = (stream: NodeJS.WriteStream): boolean =>
  stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';

export function paint(text: string, colour: Colour, stream: NodeJS.WriteStream = process.stdout): string {
  return coloured(stream) ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text;
}

/** The width of the terminal in columns; a fixed number when there is no terminal. */
export function columns(): number {
  return Math.min(process.stdout.columns ?? 80, 120);
}

export interface Cell {
  readonly text: string;
  readonly colour?: Colour;
}

/**
 * Rows under headings, each column as wide as its widest cell. The last column is wrapped between words so that no line is longer
 * than `width`: by default the terminal's, or unlimited without a terminal, because programs then read the lines.
 */
export function table(
  headings: readonly string[],
  rows: readonly (readonly Cell[])[],
  width = process.stdout.isTTY ? columns() : Number.POSITIVE_INFINITY,
): string {
  const widths = headings.map((heading, column) =>
    Math.max(heading.length, ...rows.map((row) => row[column]?.text.length ?? 0)),
  );
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const line = (cells: readonly Cell[]) =>
    cells
      .map(({ text, colour }, column) => {
        const last = column === cells.length - 1;
        const long = last && before + text.length > width && before + 16 <= width;
        const fitted = long ? wrapped(text, ' '.repeat(before), width).trimStart() : text;
        const padded = last ? fitted : fitted.padEnd(widths[column]!);
        return colour ? paint(padded, colour) : padded;
      })
      .join('  ')
      .trimEnd();
  return [line(headings.map((text) => ({ text, colour: 'bold' }))), ...rows.map(line)].join('\n');
}

/** Wraps text between words so that no line is longer than `width`; every line starts with `indent`. */
export function wrapped(text: string, indent: string, width = columns()): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((each) => indent + each).join('\n');
}
