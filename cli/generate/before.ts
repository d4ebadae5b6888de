#!/usr/bin/env node
/**
 * Writes what is made of dom0/spec alone. It runs before the rest is compiled, which uses what it writes; so it imports nothing
 * that does.
 */
import { report, settle } from './files.js';
import { readSpec, specFiles } from './spec.js';

report(await settle(specFiles(readSpec()), false), false);
