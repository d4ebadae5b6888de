/** The test kit for authors of plugins: a complete simulated host, with the shipped dom0, in one call. */
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
export type { ProcessResult } from './run.js';
