import type { Plugin, RunContext } from '../api/index.js';
import { frozen } from '../api/internal/frozen.js';
import type { Static, TSchema } from '../vendor/typebox.js';

/** Makes the function with which a plugin's tools read its options: by the schema of `definePlugin`, which types the values. */
export function optionsOf(
  { id, options: own }: Pick<Plugin, 'id' | 'options'>,
  given: unknown = {},
): RunContext['options'] {
  const values = frozen(structuredClone(given));
  return <S extends TSchema>(schema: S): Static<S> => {
    if (schema !== own) throw new TypeError(`the plugin ${id} was not defined with these options`);
    return values as Static<S>;
  };
}
