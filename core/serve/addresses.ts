import type { Variables } from '../api/index.js';

const URI = /^[a-z][a-z0-9+.-]*:\/\/(?:[A-Za-z0-9_.~/-]|\{[a-z]+\})*$/;

export const isUri = (uri: unknown): uri is string => typeof uri === 'string' && URI.test(uri);

/** The variables of an address template, and a function that finds their values in an address. */
export function parseTemplate(template: string) {
  const variables = [...template.matchAll(/\{([a-z]+)\}/g)].map(([, name]) => name!);
  const literal = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const pattern = new RegExp(
    `^${template
      .split(/\{[a-z]+\}/)
      .map(literal)
      .join('([^/?#]+)')}$`,
  );
  const match = (uri: string): Variables | undefined => {
    const found = pattern.exec(uri);
    if (found === null) return undefined;
    try {
      return Object.fromEntries(
        variables.map((name, index) => [name, decodeURIComponent(found[index + 1]!)]),
      );
    } catch {
      return undefined;
    }
  };
  return { variables, match };
}
