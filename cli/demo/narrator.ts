import { columns, paint, wrapped } from '../terminal/terminal.js';

/** Characters of a value shown on one line before it is cut. */
const SHOWN = 400;

/** What the demo prints: numbered scenes, what the agent sends, what it gets. */
export class Narrator {
  private scenes = 0;

  constructor(private readonly out: NodeJS.WriteStream) {}

  title(title: string, subtitle: string): void {
    this.lines('', paint(title, 'bold'), wrapped(subtitle, ''));
  }

  scene(title: string, explanation?: string): void {
    this.scenes += 1;
    this.lines('', paint(`${this.scenes}. ${title}`, 'bold'));
    if (explanation) this.lines(paint(wrapped(explanation, '   '), 'dim'));
  }

  sends(tool: string, args: Record<string, unknown>): void {
    const given = Object.entries(args).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    this.lines(`   ${paint('→', 'cyan')} ${paint(tool, 'cyan')} ${given.join(' ')}`.trimEnd());
  }

  gets(text: string): void {
    this.arrow('green', text);
  }

  isRefused(text: string): void {
    this.arrow('yellow', text);
  }

  note(text: string): void {
    this.lines(wrapped(text, '   '));
  }

  says(good: boolean, text: string): void {
    this.lines(`   ${good ? paint('✓', 'green') : paint('✗', 'red')} ${text}`);
  }

  block(text: string): void {
    this.lines(...text.split('\n').map((line) => `   ${line}`));
  }

  private arrow(colour: 'green' | 'yellow', text: string): void {
    const cut = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
    const [first, ...rest] = wrapped(cut, '     ', columns()).split('\n');
    this.lines(`   ${paint('←', colour)} ${first!.trimStart()}`, ...rest);
  }

  private lines(...lines: string[]): void {
    for (const line of lines) this.out.write(`${line}\n`);
  }
}
