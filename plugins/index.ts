import type { Plugin } from '../core/api/index.js';
import exec from './exec/plugin.js';
import inspect from './inspect/plugin.js';
import spawn from './spawn/plugin.js';

/** The plugins that ship with qmcp, in the order their tools are listed. */
export const BUILT_IN: readonly Plugin[] = [inspect, spawn, exec];
