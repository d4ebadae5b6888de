import { type Cell, type Colour, columns, paint, table, wrapped } from '../terminal/terminal.js';

/** Characters of a value shown before it is cut. */
const MAX_SHOWN = 400;
/** The indentation of everything in a scene. */
const INDENT = '   ';

/** Prints the demo: numbered scenes, the agent's calls and the answers. */
export class Narrator {
  private scenes = 0;

  constructor(private readonly out: NodeJS.WriteStream) {}

  title(title: string, subtitle: string): void {
    this.lines('', paint(title, 'bold'), wrapped(subtitle, ''));
  }

  scene(title: string, explanation?: string): void {
    this.scenes += 1;
    this.heading(`${this.scenes}. ${title}`);
    if (explanation) this.lines(paint(wrapped(explanation, INDENT), 'dim'));
  }

  /** Prints a heading without a number, for the part after the last scene. */
  heading(title: string): void {
    this.lines('', paint(title, 'bold'));
  }

  sends(tool: string, args: Record<string, unknown>): void {
    const given = Object.entries(args).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    this.arrow('→', 'cyan', [tool, ...given].join(' '));
  }

  gets(text: string): void {
    this.arrow('←', 'green', text);
  }

  isRefused(text: string): void {
    this.arrow('←', 'yellow', text);
  }

  /** Prints a command as a person types it in a shell. */
  types(command: string): void {
    this.lines(paint(`${INDENT}$ ${command}`, 'dim'));
  }

  note(text: string): void {
    this.lines(wrapped(text, INDENT));
  }

  says(good: boolean, text: string): void {
    this.lines(`${INDENT}${good ? paint('✓', 'green') : paint('✗', 'red')} ${text}`);
  }

  table(headings: readonly string[], rows: readonly (readonly Cell[])[]): void {
    const text = table(headings, rows, columns() - INDENT.length);
    this.lines(...text.split('\n').map((line) => INDENT + line));
  }

  private arrow(arrow: '→' | '←', colour: Colour, text: string): void {
    const cut = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
    const [first, ...rest] = wrapped(cut, `${INDENT}  `).split('\n');
    this.lines(`${INDENT}${paint(arrow, colour)} ${first!.trimStart()}`, ...rest);
  }

  private lines(...lines: string[]): void {
    for (const line of lines) this.out.write(`${line}\n`);
  }
}
