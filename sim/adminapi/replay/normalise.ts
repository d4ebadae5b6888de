import { partsOf } from './recording.js';

/**
 * Makes two hosts comparable that behave alike but may answer differently. Each rule is limited to the replies that it is about:
 * memory addresses in a Python `repr`; addresses of disposables and `dispid`, which are random (other addresses follow from a
 * qube's number and are compared); the time a domain started; memory and processor time, which depend on the machine; size and
 * usage of pools, which depend on the disk (volume sizes are compared); the number of rounds of statistics that a recorder
 * waited for; the order of vendor, product, manufacturer, name and serial of a device, which the daemon draws at its start.
 * Uuids, tokens and names of unnamed disposables are compared by a one-to-one mapping, in `translate.ts`.
 */
export function normalise(request: string, response: string): string {
  const { method } = partsOf(request);
  let text = response.replace(/ at 0x[0-9a-f]+ /g, ' at 0x ');
  text = text.replace(/\b10\.138\.\d+\.\d+\b/g, '10.138.x.x');
  text = text.replace(/(\bdispid default=False type=int )\d+/g, '$1N');
  text = text.replace(/(\bstart_time default=True type=str )[\d.]+/g, '$1T');
  if (request.startsWith('admin.vm.property.Get+start_time ')) text = text.replace(/ [\d.]+$/, ' T');
  if (request.startsWith('admin.vm.property.Get+dispid ')) text = text.replace(/ \d+$/, ' N');
  switch (method) {
    case 'admin.vm.CurrentState':
      return text.replace(/\b(mem|mem_static_max|cputime)=[1-9]\d*/g, '$1=N');
    case 'admin.pool.Info':
    case 'admin.pool.UsageDetails':
      return text.replace(/^((?:0\0)?(?:size|usage|data_size|data_usage)=)\d+$/gm, '$1N');
    case 'admin.vm.Stats':
      return rounds(text);
    default:
      return /^admin\.vm\.device\.\w+\.Available$/.test(method) ? deviceKeys(text) : text;
  }
}

function rounds(text: string): string {
  const keptLines: string[] = [];
  // Every message ends in two NULs; numbers are never empty, so no other place has two.
  for (const message of text.split(/(?<=\0\0)(?=[12]\0)/)) {
    const shape = message.replace(/\0(memory_\w+|cpu_\w+|swap_used)\0\d+/g, '\0$1\0N');
    if (!keptLines.includes(shape)) keptLines.push(shape);
  }
  return keptLines.join('');
}

function deviceKeys(text: string): string {
  return text
    .split('\n')
    .map((line) => {
      const labels: string[] = [];
      const rest = line.replace(
        / (?:vendor|product|manufacturer|name|serial)='(?:[^'\\]|\\.)*'/g,
        (label) => {
          labels.push(label);
          return '';
        },
      );
      return labels.length === 0 ? line : `${rest}${labels.sort().join('')}`;
    })
    .join('\n');
}
