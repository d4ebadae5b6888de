/** A qube and its network: the name of a network qube, `<out-of-scope>`, or null for none. */
export interface Place {
  readonly qube: string;
  readonly network: string | null;
}

/** The network as a Mermaid flowchart. Names appear only as quoted labels, never as identifiers. */
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

/** Escapes characters that Mermaid or Markdown could take for markup. */
function label(name: string): string {
  return name.replace(/[^A-Za-z0-9_.-]/g, (character) => `#${character.codePointAt(0)};`);
}
