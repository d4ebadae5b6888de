/** The members of a list or an object with their names; none for any other value. */
export function partsOf(value: unknown): [string, unknown][] {
  if (typeof value !== 'object' || value === null) return [];
  return Array.isArray(value) ? value.map((part, index) => [String(index), part]) : Object.entries(value);
}
