/** Counts work. The count is the same on every machine, however busy, so it can show how cost grows. */

const ITERATORS = [[], new Map(), new Set()].map(
  (collection) => Object.getPrototypeOf(collection[Symbol.iterator]()) as { next(): IteratorResult<unknown> },
);
/** Methods that visit every element, or may. */
const METHODS = [
  ...[
    'concat',
    'every',
    'filter',
    'find',
    'findIndex',
    'findLast',
    'findLastIndex',
    'flat',
    'flatMap',
    'forEach',
  ],
  ...[
    'includes',
    'indexOf',
    'join',
    'lastIndexOf',
    'map',
    'reduce',
    'reduceRight',
    'reverse',
    'slice',
    'some',
  ],
  ...['sort', 'splice', 'toReversed', 'toSorted', 'unshift', 'shift'],
];

/** Counts the elements of arrays, maps and sets that the function visits, in loops and by methods. */
export async function visits(act: () => unknown): Promise<number> {
  let count = 0;
  const undo = [
    ...ITERATORS.map((prototype) =>
      replace(
        prototype,
        'next',
        (next) =>
          function (this: unknown, ...args) {
            count += 1;
            return next.apply(this, args);
          },
      ),
    ),
    ...METHODS.map((name) =>
      replace(
        Array.prototype,
        name,
        (method) =>
          function (this: unknown, ...args) {
            count += (this as unknown[]).length;
            return method.apply(this, args);
          },
      ),
    ),
    ...[Map.prototype, Set.prototype].map((prototype) =>
      replace(
        prototype,
        'forEach',
        (method) =>
          function (this: unknown, ...args) {
            count += (this as Map<unknown, unknown>).size;
            return method.apply(this, args);
          },
      ),
    ),
  ];
  try {
    await act();
  } finally {
    for (const one of undo) one();
  }
  return count;
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

function replace(prototype: object, name: string, by: (original: Method) => Method): () => void {
  const original = Object.getOwnPropertyDescriptor(prototype, name)!;
  Object.defineProperty(prototype, name, { ...original, value: by(original.value) });
  return () => Object.defineProperty(prototype, name, original);
}
