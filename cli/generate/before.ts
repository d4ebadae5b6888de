#!/usr/bin/env node
/**
 * Writes the files that are generated from dom0/spec alone. It runs before the rest is compiled, because the rest imports
 * these files; so it must not import anything that does.
 */
import { report, writeChanged } from './files.js';
import { readSpec, specFiles } from './spec.js';

report(await writeChanged(specFiles(readSpec()), false), false);
