/**
 * The built-in objects that all plugins share with each other and with the core. A plugin that changes one of them, on
 * purpose or not, changes how the others work, so every change is undone and reported.
 */
const SHARED: Readonly<Record<string, object>> = {
  'Object.prototype': Object.prototype,
  'Function.prototype': Function.prototype,
  'Array.prototype': Array.prototype,
  'String.prototype': String.prototype,
  'Number.prototype': Number.prototype,
  'Boolean.prototype': Boolean.prototype,
  'Symbol.prototype': Symbol.prototype,
  'BigInt.prototype': BigInt.prototype,
  'RegExp.prototype': RegExp.prototype,
  'Date.prototype': Date.prototype,
  'Error.prototype': Error.prototype,
  'Promise.prototype': Promise.prototype,
  'Map.prototype': Map.prototype,
  'Set.prototype': Set.prototype,
  'WeakMap.prototype': WeakMap.prototype,
  'WeakSet.prototype': WeakSet.prototype,
  'Uint8Array.prototype': Uint8Array.prototype,
  'AbortSignal.prototype': AbortSignal.prototype,
  'TextDecoder.prototype': TextDecoder.prototype,
  'TextEncoder.prototype': TextEncoder.prototype,
  Object,
  Array,
  Promise,
  JSON,
  Math,
};

// Taken when this file is loaded: the code that looks for changes must not use a changed function.
const { ownKeys, getOwnPropertyDescriptor, defineProperty, deleteProperty } = Reflect;
const { is } = Object;

interface BuiltinSnapshot {
  readonly name: string;
  readonly object: object;
  readonly keys: readonly PropertyKey[];
  readonly properties: readonly PropertyDescriptor[];
}

/** Remembers the built-in objects as they are when it is constructed. */
export class Builtins {
  private readonly snapshots: readonly BuiltinSnapshot[] = Object.entries(SHARED).map(([name, object]) => {
    const keys = ownKeys(object);
    return { name, object, keys, properties: keys.map((key) => getOwnPropertyDescriptor(object, key)!) };
  });

  /** Undoes every change since then, and returns what was changed: `Array.prototype.map`. */
  restore(): string[] {
    const changed: string[] = [];
    // No iterators and no array methods here: they may have been changed.
    for (let index = 0; index < this.snapshots.length; index++) {
      const { name, object, keys, properties } = this.snapshots[index]!;
      for (let at = 0; at < keys.length; at++) {
        const now = getOwnPropertyDescriptor(object, keys[at]!);
        if (now !== undefined && same(now, properties[at]!)) continue;
        changed[changed.length] = `${name}.${String(keys[at])}`;
        defineProperty(object, keys[at]!, properties[at]!);
      }
      const present = ownKeys(object);
      if (present.length === keys.length) continue;
      for (let at = 0; at < present.length; at++) {
        const key = present[at]!;
        if (includes(key, keys)) continue;
        changed[changed.length] = `${name}.${String(key)}`;
        deleteProperty(object, key);
      }
    }
    return changed;
  }
}

function same(a: PropertyDescriptor, b: PropertyDescriptor): boolean {
  return is(a.value, b.value) && a.get === b.get && a.set === b.set;
}

function includes(key: PropertyKey, keys: readonly PropertyKey[]): boolean {
  for (let at = 0; at < keys.length; at++) if (keys[at] === key) return true;
  return false;
}
