import { mkdirSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { contractOf } from '../../core/boot/contract.js';
import { configuration, configuredPlugins } from '../../core/main.js';

/** Writes the contracts of a plugin, one file per service, for an operator to review and install. */
export async function contracts(plugin: string, { out }: { out?: string }): Promise<void> {
  const config = await configuration({ flags: { plugins: [plugin] }, file: undefined });
  const files = (await configuredPlugins(config)).flatMap((each) =>
    each.services.map((service) => ({
      name: `${service.name}.json`,
      text: `${JSON.stringify(contractOf(each, service), null, 2)}\n`,
    })),
  );
  if (out === undefined) {
    for (const { text } of files) process.stdout.write(text);
    return;
  }
  mkdirSync(out, { recursive: true });
  for (const { name, text } of files) {
    writeFileSync(join(out, name), text);
    process.stdout.write(`${relative(process.cwd(), join(out, name))}\n`);
  }
}
