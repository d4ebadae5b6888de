/** What the author of a plugin tests it with: a whole simulated host, with the dom0 that ships, in one call. */
export type { Check } from '../model/invariants.js';
export type {
  BudgetSnapshot,
  Dom0Snapshot,
  HostSnapshot,
  QubeSnapshot,
  WorldSnapshot,
} from '../model/snapshot.js';
export { defineCheck, InvariantBroken, NotHidden } from './checks.js';
export { type GuestCall, type GuestOutcome, type GuestProgram, program } from './guest.js';
export {
  type Answer,
  type McpClient,
  type SimulatedHost,
  type SimulationOptions,
  simulatedHost,
} from './host.js';
export { contractFiles } from './operator.js';
export type { ProcessResult as Ran } from './run.js';
