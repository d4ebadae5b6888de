/** Everything an author of a plugin imports. */
export type { Static, TSchema } from 'typebox';
export { Type } from 'typebox';
export { isRefusalCode, REFUSALS, type RefusalCode, Refused } from './errors.js';
export { inject, injectable } from './injection.js';
export {
  defineInvariant,
  type EnforcedBy,
  type HostSnapshot,
  type Invariant,
  type QubeSnapshot,
  type WorldSnapshot,
} from './invariant.js';
export { Label, OUT_OF_SCOPE, QubeName, TIERS, type Tier } from './names.js';
export { API_VERSION, definePlugin, type Plugin } from './plugin.js';
export { NoParams, PowerState, QubeState, QubeSummary, READ_CALLS } from './qube.js';
export {
  defineGuestService,
  defineHostService,
  defineTargetService,
  type Effect,
  type GuestIo,
  type GuestService,
  type HostService,
  type Port,
  type Service,
  type TargetService,
} from './service.js';
export { type Ref, type Step, step } from './steps.js';
export { defineTool, portOf, type Tool, type ToolContext, type ToolHandler } from './tool.js';
