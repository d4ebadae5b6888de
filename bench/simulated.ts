/** Measures how the cost of a simulated host grows with its number of qubes. */
import { Host, type HostSpec, loadHostSpec } from '../sim/index.js';
import { withMany } from './kernel.js';
import { medians, ms, type Row } from './measure.js';

const [SMALL, LARGE] = [250, 2_000];

export async function simulated(): Promise<Row[]> {
  const demo: HostSpec = loadHostSpec('demo');
  const [small, large] = [withMany(demo, SMALL), withMany(demo, LARGE)];
  const list = Buffer.from('admin.vm.List+ dom0 name dom0\0');
  const [smallHost, largeHost] = [Host.load(small), Host.load(large)];
  const loading = { small: async () => Host.load(small), large: async () => Host.load(large) };
  const listing = { small: () => smallHost.call(list), large: () => largeHost.call(list) };
  return [
    row('simulated host: loading', await medians(loading, 10)),
    row('simulated host: a list', await medians(listing, 200)),
  ];
}

function row(what: string, times: Map<string, number>): Row {
  const [small, large] = [times.get('small')!, times.get('large')!];
  const detail = `${ms(large)} ÷ ${ms(small)}`;
  return { what: `${what} of ${LARGE} qubes ÷ of ${SMALL}`, ratio: large / small, aim: '~ 8', detail };
}
