/** A qube and what it sits behind: the name of a network qube, `<out-of-scope>`, or null for nothing. */
export interface Place {
  readonly qube: string;
  readonly network: string | null;
}

/** Who sits behind whom, as a Mermaid flowchart. Names are only ever labels in quotes: an identifier has no room for them. */
export function mermaid(places: readonly Place[]): string {
  const ids = new Map<string, string>();
  const lines: string[] = [];
  const node = (name: string): string => {
    const existing = ids.get(name);
    if (existing !== undefined) return existing;
    const id = `q${ids.size}`;
    ids.set(name, id);
    lines.push(`  ${id}["${label(name)}"]`);
    return id;
  };
  for (const { qube, network } of places) {
    const from = node(qube);
    if (network !== null) lines.push(`  ${from} --> ${node(network)}`);
  }
  return ['flowchart LR', ...lines].join('\n');
}

/** What Mermaid or Markdown could take for markup, as entities. */
function label(name: string): string {
  return name.replace(/[^A-Za-z0-9_.-]/g, (character) => `#${character.codePointAt(0)};`);
}
