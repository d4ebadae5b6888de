import { BadConfig, suggestion } from './fault.js';
import type { ConfigFile } from './schema.js';

type ToConfig = (text: string) => unknown;

/** Each variable, and the key of the configuration file it stands for. Lists are separated by commas. */
export const VARIABLES: Readonly<Record<string, { readonly path: string; readonly toConfig: ToConfig }>> = {
  QMCP_EXTENDS: { path: 'extends', toConfig: (text) => ({ extends: list(text) }) },
  QMCP_PLUGINS: { path: 'plugins', toConfig: (text) => ({ plugins: list(text) }) },
  QMCP_ON_REFUSAL: { path: 'onRefusal', toConfig: (text) => ({ onRefusal: text }) },
  QMCP_READ_ONLY: { path: 'readOnly', toConfig: (text) => ({ readOnly: booleanOrNumber(text) }) },
  QMCP_PINNED: { path: 'pinned', toConfig: (text) => ({ pinned: booleanOrNumber(text) }) },
  QMCP_TOOLS_INCLUDE: { path: 'tools.include', toConfig: (text) => ({ tools: { include: list(text) } }) },
  QMCP_TOOLS_EXCLUDE: { path: 'tools.exclude', toConfig: (text) => ({ tools: { exclude: list(text) } }) },
  QMCP_TOOLS_SCHEMAS: { path: 'tools.schemas', toConfig: (text) => ({ tools: { schemas: text } }) },
  QMCP_QREXEC_CLIENT: { path: 'qrexec.client', toConfig: (text) => ({ qrexec: { client: text } }) },
  QMCP_QREXEC_CONCURRENT: {
    path: 'qrexec.concurrent',
    toConfig: (text) => ({ qrexec: { concurrent: booleanOrNumber(text) } }),
  },
  QMCP_QREXEC_TIMEOUT: {
    path: 'qrexec.timeout',
    toConfig: (text) => ({ qrexec: { timeout: booleanOrNumber(text) } }),
  },
};
/** Read by the command and by the programs it starts; not part of the configuration. */
const OTHER_VARIABLES = ['QMCP_CONFIG', 'QMCP_DEBUG', 'QMCP_HOST', 'QMCP_PYTHON', 'QMCP_WORLD'];

/** The configuration in the environment. An unknown QMCP_ variable is an error: it is probably misspelled. */
export async function fromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ name: string; config: ConfigFile }[]> {
  const layers: { name: string; config: ConfigFile }[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('QMCP_') || text === undefined || OTHER_VARIABLES.includes(name)) continue;
    const variable = Object.hasOwn(VARIABLES, name) ? VARIABLES[name] : undefined;
    if (variable === undefined) {
      const known = [...Object.keys(VARIABLES), ...OTHER_VARIABLES];
      throw new BadConfig(`environment: ${name} is not a variable of qmcp; ${suggestion(name, known)}`);
    }
    const { validate } = await import('./validate.js');
    layers.push({ name, config: validate(() => `environment: ${name}`, variable.toConfig(text)) });
  }
  return layers;
}

const list = (text: string): string[] =>
  text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');

/** Parses a boolean or a number; leaves any other text for the schema to reject. */
function booleanOrNumber(text: string): unknown {
  return /^(true|false|\d{1,9})$/.test(text) ? JSON.parse(text) : text;
}
