/**
 * Freezes a value deeply and returns it. Used for everything that plugins share with each other and with the core.
 */
export function frozen<T>(value: T, seen: Set<unknown> = new Set()): T {
  if (typeof value !== 'object' || value === null || seen.has(value)) return value;
  seen.add(value);
  Object.freeze(value);
  for (const key of Reflect.ownKeys(value)) {
    const property = Reflect.getOwnPropertyDescriptor(value, key);
    if (property && 'value' in property) frozen(property.value, seen);
  }
  return value;
}
