/** A step into a value: a key or an index. */
export type Step = string | number;

/** `tools.exclude[1]`. */
export const dotted = (steps: readonly Step[]): string =>
  steps.reduce<string>(
    (path, step) => (typeof step === 'number' ? `${path}[${step}]` : path ? `${path}.${step}` : step),
    '',
  );
