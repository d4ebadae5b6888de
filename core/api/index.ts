/** Everything that the author of a plugin imports. */
export type { Static, TSchema } from '../vendor/typebox.js';
export { Type } from '../vendor/typebox.js';
export * as axioms from './axioms.js';
export { type ContentBlock, contentOf, isContentBlock, withContent } from './content.js';
export { type Description, described, describedInput } from './described.js';
export { eachOf } from './each.js';
export {
  covers,
  isHostName,
  isRule,
  type Network,
  networkOf,
  portsOf,
  type Rule,
  ruleFault,
} from './egress.js';
export { isDom0Code, isRefusalCode, OWN_REFUSALS, REFUSALS, type RefusalCode, Refused } from './errors.js';
export { inject, injectable } from './injection.js';
export { invalidAt, refuseLoneSurrogates, refuseUnusableText } from './invalid.js';
export {
  type EnforcedBy,
  INVARIANTS,
  type Invariant,
  type InvariantId,
  isInvariantId,
  statementOf,
} from './invariant.js';
export { Label, LIMITS, OUT_OF_SCOPE, QubeName, TIERS, type Tier } from './names.js';
export { API_VERSION, definePlugin, type Plugin } from './plugin.js';
export { Bytes, Memory, NoParams, PowerState, QubeListing, QubeState, QubeSummary, Vcpus } from './qube.js';
export {
  type Ask,
  CLIENT_CAPABILITIES,
  type ClientCapability,
  InputRequired,
  type Question,
} from './question.js';
export {
  defineGuestService,
  defineHostService,
  defineStreamService,
  defineTargetService,
  type Effect,
  type GuestIo,
  type GuestProblems,
  type GuestService,
  type HostService,
  type Port,
  type Service,
  type ServiceName,
  type StreamService,
  type TargetService,
} from './service.js';
export { type Ref, type Step, type StepArguments, type StepName, step } from './steps.js';
export {
  type Changes,
  type Complete,
  type Content,
  defineChanges,
  definePrompt,
  defineResource,
  messagesOf,
  type Prompt,
  type PromptArgument,
  type PromptMessage,
  type ReadContext,
  type Resource,
  type ResourceHandler,
  type Variables,
} from './surface.js';
export {
  defineTool,
  type LogLevel,
  type Ports,
  portOf,
  type RunContext,
  type Session,
  type Tool,
  type ToolContext,
  type ToolHandler,
  type Uses,
} from './tool.js';
export {
  decodeVisible,
  finishing,
  GuestText,
  prefixLines,
  Untrusted,
  unfinished,
  type VisibleText,
  visible,
} from './untrusted.js';
