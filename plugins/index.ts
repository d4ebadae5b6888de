import type { Plugin } from '../core/api/index.js';
import devices from './devices/plugin.js';
import egress from './egress/plugin.js';
import events from './events/plugin.js';
import exec from './exec/plugin.js';
import inspect from './inspect/plugin.js';
import networking from './networking/plugin.js';
import plan from './plan/plugin.js';
import spawn from './spawn/plugin.js';
import storage from './storage/plugin.js';

/** The plugins that ship with qmcp, in the order in which their tools are listed. */
export const BUILT_IN: readonly Plugin[] = [
  inspect,
  spawn,
  exec,
  devices,
  egress,
  networking,
  events,
  storage,
  plan,
];
